"""Verify: every artifact in the runtime that will serve it, against the reference."""

from __future__ import annotations

from collections.abc import Sequence

from bnexport.build import Artifact
from bnexport.events import Observer
from bnexport.parity import (
    ExportedRunner,
    OnnxRunner,
    Parity,
    Runner,
    Skipped,
    TorchScriptRunner,
    verify_runners,
)
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
    observe: Observer,
) -> Parity:
    """Run what was built, at batch 1 and at each of ``batches``.

    Raises:
        MissingRuntime: A runtime that the verification needs is not installed.
    """
    runners: list[Runner] = []
    skipped: list[Skipped] = []
    for artifact in artifacts:
        _add(artifact, subject, runners, skipped, tf32)
    return verify_runners(
        subject.reference,
        runners,
        subject.examples,
        output_names=subject.outputs,
        batches=sorted({1, *batches}),
        atol=atol,
        rtol=rtol,
        observe=observe,
        skipped=skipped,
    )


def _add(
    artifact: Artifact,
    subject: Subject,
    runners: list[Runner],
    skipped: list[Skipped],
    tf32: bool,
) -> None:
    match artifact.target:
        case "onnx":
            runners.append(OnnxRunner(artifact.path, outputs=subject.outputs))
            if _cuda_provider():
                runners.append(OnnxRunner(artifact.path, provider="cuda", outputs=subject.outputs))
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


def _cuda_provider() -> bool:
    """Whether ONNX Runtime was built with CUDA and there is a GPU to run on."""
    import onnxruntime
    import torch

    return (
        "CUDAExecutionProvider" in onnxruntime.get_available_providers()
        and torch.cuda.is_available()
    )
