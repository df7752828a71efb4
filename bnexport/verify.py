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
from bnexport.parity.rounded import RoundedRunner
from bnexport.parity.runner import Fixed, label
from bnexport.parity.runtimes import onnx_runners
from bnexport.precision import Precision
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
    precision: Precision | None,
    proof: str = "full",
    observe: Observer,
) -> Parity:
    """Run what was built, at batch 1 and at each of ``batches``; after a failure, say where it starts.

    A ``quick`` proof holds it against the model as it is, and looks at nothing else.

    An ONNX file is run in ``runtimes``; where none is named, in ONNX Runtime, and on a GPU if there is one; one
    that was lowered to half precision also with each of its values rounded.

    Raises:
        MissingRuntime: A runtime that the verification needs is not installed.
    """
    runners: list[Runner] = []
    skipped: list[Skipped] = []
    for artifact in artifacts:
        if artifact.target == "onnx" and runtimes:
            dtype = precision.dtype if precision else None
            runners += onnx_runners(artifact.path, runtimes, subject.outputs, dtype, ours=True)
        elif artifact.target == "onnx" and precision is not None:
            _add_half(artifact, subject, precision, runners, skipped)
        else:
            _add(artifact, subject, runners, skipped, tf32)
    parity = verify_runners(
        subject.reference,
        runners,
        subject.examples,
        output_names=subject.outputs,
        batches=sorted({1, *batches, *_fixed(runners)}),
        atol=atol,
        rtol=rtol,
        observe=observe,
        skipped=skipped,
        mixes_batch=mixes_batch,
        proof=proof,
    )
    # A lowered file is off from its first value on. Where that is too much, `mixed` finds.
    if parity.ok or precision is not None:
        return parity
    return located_after_build(parity, subject, artifacts)


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


def _add_half(
    artifact: Artifact,
    subject: Subject,
    precision: Precision,
    runners: list[Runner],
    skipped: list[Skipped],
) -> None:
    """With every value rounded as the file says; and in ONNX Runtime as it is, where it has the kernels."""
    plain = OnnxRunner(artifact.path, outputs=subject.outputs, precision=precision.dtype, ours=True)
    if precision.io == "bfloat16":
        skipped.append(Skipped(label(plain), "NumPy has no bfloat16 to feed it"))
    elif reason := _refusal(plain):
        skipped.append(Skipped(label(plain), reason))
    else:
        runners.append(plain)
    runners.append(RoundedRunner(artifact.path, precision=precision.dtype, outputs=subject.outputs))
    if torch.cuda.is_available():
        _add_cuda(artifact, subject, runners, skipped, precision.dtype)


def _refusal(runner: Runner) -> str:
    """Why it does not open; empty where it does."""
    try:
        with runner:
            return ""
    except RunFailed as failure:
        return failure.why


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
        return
    runner = EngineRunner(artifact.path)
    if runner.fixed_batch is not None:
        reason = f"a static engine: run at batch {runner.fixed_batch} alone"
        skipped.append(Skipped(f"{info.flavour} {info.version}", reason))
    runners.append(runner)


def _fixed(runners: Sequence[Runner]) -> set[int]:
    """The batches that are asked for by being all that a runner takes."""
    found = {runner.fixed_batch for runner in runners if isinstance(runner, Fixed)}
    return {batch for batch in found if batch is not None}


def _add_onnx(
    artifact: Artifact, subject: Subject, runners: list[Runner], skipped: list[Skipped]
) -> None:
    """ONNX Runtime; where it has no kernels for a float64 model, the evaluator, and that is said."""
    runner = OnnxRunner(artifact.path, outputs=subject.outputs, ours=True, graph=artifact.graph)
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
    artifact: Artifact,
    subject: Subject,
    runners: list[Runner],
    skipped: list[Skipped],
    precision: str | None = None,
) -> None:
    """A GPU is here, so the file must be right on it too; where it cannot run there, that is said."""
    if reason := cuda_obstacle():
        skipped.append(Skipped("ONNX Runtime (cuda)", reason))
    else:
        runner = OnnxRunner(
            artifact.path,
            provider="cuda",
            outputs=subject.outputs,
            precision=precision,
            ours=True,
        )
        runners.append(runner)
