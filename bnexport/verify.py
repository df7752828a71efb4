"""Verify: every artifact in the runtime that will serve it, against the reference."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from bnexport.build import Artifact
from bnexport.events import Observer
from bnexport.locate import located_after_build
from bnexport.parity import (
    ExportedRunner,
    OnnxRunner,
    Parity,
    RunFailed,
    Runner,
    Skipped,
    TorchScriptRunner,
    cuda_obstacle,
    verify_runners,
)
from bnexport.parity.evaluator import EvaluatorRunner
from bnexport.parity.runtimes import onnx_runners
from bnexport.subject import Subject

__all__ = ["verify_build"]


def verify_build(
    subject: Subject,
    artifacts: Sequence[Artifact],
    batches: Sequence[int],
    *,
    atol: float | None,
    rtol: float | None,
    tf32: bool,
    mixes_batch: bool,
    runtimes: Sequence[str],
    observe: Observer,
) -> Parity:
    """Run what was built, at batch 1 and at each of ``batches``; after a failure, say where it starts.

    An ONNX file is run in ``runtimes``; where none is named, in ONNX Runtime, and on a GPU if there is one.

    Raises:
        MissingRuntime: A runtime that the verification needs is not installed.
    """
    runners: list[Runner] = []
    skipped: list[Skipped] = []
    for artifact in artifacts:
        if artifact.target == "onnx" and runtimes:
            runners += onnx_runners(artifact.path, runtimes, subject.outputs)
        else:
            _add(artifact, subject, runners, skipped, tf32)
    parity = verify_runners(
        subject.reference,
        runners,
        subject.examples,
        output_names=subject.outputs,
        batches=sorted({1, *batches}),
        atol=atol,
        rtol=rtol,
        observe=observe,
        skipped=skipped,
        mixes_batch=mixes_batch,
    )
    return parity if parity.ok else located_after_build(parity, subject, artifacts)


def _add(
    artifact: Artifact,
    subject: Subject,
    runners: list[Runner],
    skipped: list[Skipped],
    tf32: bool,
) -> None:
    match artifact.target:
        case "onnx":
            _add_onnx(artifact, subject, runners, skipped)
            if torch.cuda.is_available():
                _add_cuda(artifact, subject, runners, skipped)
        case "torchscript":
            runners.append(TorchScriptRunner(artifact.path))
        case "pt2":
            runners.append(ExportedRunner(artifact.path))
        case _:
            _add_engine(artifact, subject, runners, skipped, tf32)


def _add_engine(
    artifact: Artifact,
    subject: Subject,
    runners: list[Runner],
    skipped: list[Skipped],
    tf32: bool,
) -> None:
    from bnexport.targets.tensorrt import EngineRunner, can_run

    info = artifact.engine
    if info is None:
        return
    if reason := can_run(info):
        built = ", ".join(info.targets)
        text = f"built for {built}, not executed: {reason}"
        skipped.append(Skipped(f"{info.flavour} {info.version}", text))
    else:
        runners.append(EngineRunner(artifact.path))


def _add_onnx(
    artifact: Artifact, subject: Subject, runners: list[Runner], skipped: list[Skipped]
) -> None:
    """ONNX Runtime; where it has no kernels for a float64 model, the evaluator, and that is said."""
    runner = OnnxRunner(artifact.path, outputs=subject.outputs)
    if any(spec.dtype == "float64" for spec in subject.examples.specs):
        try:
            with runner:
                pass
        except RunFailed as failure:
            if "NOT_IMPLEMENTED" not in str(failure):
                raise
            reason = "it has no float64 kernel for an operator; for one that it runs, convert model.float()"
            skipped.append(Skipped(f"{runner.name} {runner.version} ({runner.device})", reason))
            evaluator = EvaluatorRunner(artifact.path, precision="float64", outputs=subject.outputs)
            runners.append(evaluator)
            return
    runners.append(runner)


def _add_cuda(
    artifact: Artifact, subject: Subject, runners: list[Runner], skipped: list[Skipped]
) -> None:
    """A GPU is here, so the file must be right on it too; where it cannot run there, that is said."""
    if reason := cuda_obstacle():
        skipped.append(Skipped("ONNX Runtime (cuda)", reason))
    else:
        runners.append(OnnxRunner(artifact.path, provider="cuda", outputs=subject.outputs))
