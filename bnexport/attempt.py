"""One way along the road, from the loaded model to files that are verified.

It is taken again, by the slow capture, where what came of the fast one cannot be written, or does not verify.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bnexport.build import Artifact, build
from bnexport.drift.taps import KEY as TAPS
from bnexport.drift.taps import Tapped
from bnexport.errors import ExportError, UsageError
from bnexport.events import Observer, stage
from bnexport.parity import Parity
from bnexport.passes.graphs.simplify import weight_bytes
from bnexport.precision import Lowered, default_opset, lower
from bnexport.precision.mixed import Sample
from bnexport.report.document import Size
from bnexport.rewrite import Rewritten, rewrite
from bnexport.subject import Inputs, Subject, subject_of
from bnexport.verify import verify_build

if TYPE_CHECKING:
    from bnexport.load.loaded import Loaded
    from bnexport.targets.tensorrt import EngineOptions

__all__ = ["Asked", "Attempt", "attempt"]


@dataclass(frozen=True)
class Asked:
    """What `bnexport.convert` was asked for, checked; the attributes are its arguments."""

    targets: tuple[str, ...]
    inputs: Inputs
    inputs_from: Path | None
    batches: tuple[int, ...]
    opset: int | None
    precision: str | None
    io_half: bool
    external_data: bool | None
    engine: EngineOptions
    atol: float | None
    rtol: float | None
    mixes_batch: bool
    runtimes: tuple[str, ...]
    proof: str
    fold: bool
    simplify: bool | None
    drift_taps: bool
    force: bool


@dataclass(frozen=True)
class Attempt:
    """What came of it.

    Attributes:
        subject: The model, as captured.
        before: Its size.
        rewritten: The graph as rewritten, the ledger, the passes.
        lowered: The graph as written.
        built: The files.
        parity: The verdict.
    """

    subject: Subject
    before: Size
    rewritten: Rewritten
    lowered: Lowered
    built: tuple[Artifact, ...]
    parity: Parity


def attempt(loaded: Loaded, asked: Asked, road: str, stem: Path, observe: Observer) -> Attempt:
    """Capture, rewrite, build and verify; the errors are those of `bnexport.convert`.

    Args:
        loaded: The model.
        asked: What is wanted.
        road: How it is captured: ``auto``, ``fast`` or ``export``.
        stem: Folder and name of the files, less their suffixes.
        observe: Told of progress.
    """
    subject = subject_of(
        loaded,
        asked.inputs,
        asked.inputs_from,
        default_opset(asked.opset, asked.precision),
        observe,
        drift_taps=asked.drift_taps,
        road=road,
        batches=recorded_batches(asked.batches),
        proof=asked.proof,
        watched=max(asked.batches) == 1,  # what is not verified must be watched
    )
    try:
        return _from(subject, loaded, asked, stem, observe)
    except ExportError:
        if road != "auto" or subject.road != "fast":
            raise
    return attempt(loaded, asked, "export", stem, observe)


def _from(subject: Subject, loaded: Loaded, asked: Asked, stem: Path, observe: Observer) -> Attempt:
    """The rest of the way, once the model is captured."""
    nodes = subject.graph.graph.num_nodes()
    weights = loaded.path.stat().st_size if loaded.path else weight_bytes(subject.graph)
    simplify = subject.plain is None if asked.simplify is None else asked.simplify
    with stage(observe, "rewrite"):
        rewritten = rewrite(
            subject.graph,
            subject.batch_norms,
            fold=asked.fold,
            simplify=simplify,
            computed=subject.road == "fast",
            observe=observe,
        )
    sample = Sample(subject.reference, subject.examples, subject.outputs)
    lowered = lower(
        rewritten.model, asked.precision, sample, io_half=asked.io_half, observe=observe
    )
    if isinstance(subject.plain, Tapped):
        lowered.model.metadata_props[TAPS] = subject.plain.metadata()
    with stage(observe, "build"):
        built = build(
            lowered.model,
            subject,
            asked.targets,
            stem,
            asked.engine,
            asked.external_data,
            asked.force,
            observe,
        )
    with stage(observe, "verify"):
        parity = verify_build(
            subject,
            built,
            asked.batches,
            atol=asked.atol,
            rtol=asked.rtol,
            tf32=asked.engine.tf32,
            mixes_batch=asked.mixes_batch,
            runtimes=asked.runtimes,
            precision=lowered.precision,
            proof=asked.proof,
            observe=observe,
        )
    if not parity.ok and subject.watch is not None:
        with suppress(UsageError):  # watched on other batch sizes, it may not run at all
            subject.watch()  # what is wrong with the model says it better
    return Attempt(subject, Size(weights, nodes), rewritten, lowered, built, parity)


def recorded_batches(batches: Sequence[int]) -> tuple[int, int]:
    """One sample, and the next batch size that is verified."""
    return 1, min((n for n in batches if n > 1), default=2)
