"""The road of a benchmark: open, feed, check, measure; one batch size after the other."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace

from bnexport.bench.benchmark import Participant, Result
from bnexport.bench.contestant import Contestant, Outputs, check_finite, check_shapes
from bnexport.bench.entrants import Entrant, Means, made
from bnexport.bench.feeding import samples_in
from bnexport.bench.memory import Memory, memory_of
from bnexport.bench.rounds import Budget, measure
from bnexport.bench.statistics import latency, ratio
from bnexport.bench.torch_contestant import as_deployed, fresh_compiler
from bnexport.errors import BnexportError, MissingRuntime
from bnexport.events import Event, Observer, stage
from bnexport.inputs import Examples
from bnexport.load.sniff import digest
from bnexport.parity.arrays import Arrays, from_torch
from bnexport.parity.runner import RunFailed
from bnexport.passes.modules import undisturbed
from bnexport.runnable import Reading

__all__ = ["Course", "measured"]

Skipped = tuple[str, str, str]
_COMPILED = ("torch-compile", "torch-compile-cuda")


@dataclass(frozen=True)
class Course:
    """What all batch sizes have in common.

    Attributes:
        examples: Where the inputs come from.
        means: How contestants are run.
        budget: How long.
        memory: Whether each is also run in a process of its own for its memory.
        reading: How that process reads files.
    """

    examples: Examples
    means: Means
    budget: Budget
    memory: bool
    reading: Reading

    @property
    def names(self) -> tuple[str, ...]:
        """Of the inputs."""
        return tuple(spec.name for spec in self.examples.specs)


@dataclass
class _Side:
    entrant: Entrant
    contestant: Contestant
    laid: int | None  # the batch
    outputs: Outputs = field(default_factory=dict)

    def participant(self) -> Participant:
        """What is told of it."""
        model, contestant = self.entrant.model, self.contestant
        return Participant(
            model=model.name,
            runtime=self.entrant.runtime,
            title=contestant.title,
            device=contestant.device,
            precision=contestant.precision,
            cuda_graph=contestant.cuda_graph,
            path=model.path,
            sha256=digest(model.path) if model.path else None,
            bytes=model.path.stat().st_size if model.path else None,
        )


def measured(
    entrants: Sequence[Entrant], course: Course, batches: Sequence[int], observe: Observer
) -> tuple[list[Result], list[Skipped]]:
    """Every entrant that can run, at every batch size; and those that cannot, with the reason.

    Raises:
        MissingRuntime: An entrant that was asked for cannot run here, or none can.
        RunFailed: A model does not take the inputs.
        Unfit: A contestant's outputs are not those of a model that may be timed.
    """
    results: list[Result] = []
    with as_deployed(course.means.threads), undisturbed(0), ExitStack() as opened:
        with stage(observe, "open"):
            sides, skipped = _opened(entrants, course, batches[0], opened, observe)
        for batch in batches:
            with stage(observe, "ready", f"batch {batch}"):
                _make_ready(sides, from_torch(course.examples.batch(batch)), batch, observe)
            with stage(observe, "measure", f"batch {batch}"):
                results += _results(sides, course, batch, observe)
    return _with_memory(results, sides, course, observe), skipped


def _opened(
    entrants: Sequence[Entrant],
    course: Course,
    batch: int,
    opened: ExitStack,
    observe: Observer,
) -> tuple[list[_Side], list[Skipped]]:
    sides: list[_Side] = []
    skipped: list[Skipped] = []
    reasons: list[BnexportError] = []
    inputs = from_torch(course.examples.batch(batch))
    for entrant in entrants:
        observe(Event("open", "note", str(entrant)))
        laid = None
        try:
            contestant = opened.enter_context(made(entrant, course.names, course.means))
            if entrant.runtime in _COMPILED:
                contestant.lay(inputs)  # whether there is a compiler is known when it was used
                laid = batch
        except (MissingRuntime, RunFailed) as error:
            if entrant.asked or not _may_be_missing(entrant, error):
                raise
            reasons.append(error)
            skipped.append((entrant.model.name, entrant.runtime, error.why or error.what))
            continue
        sides.append(_Side(entrant, contestant, laid))
    if not sides:
        raise reasons[0]
    return sides, skipped


def _may_be_missing(entrant: Entrant, error: BnexportError) -> bool:
    return isinstance(error, MissingRuntime) or entrant.runtime in _COMPILED


def _make_ready(sides: Sequence[_Side], inputs: Arrays, batch: int, observe: Observer) -> None:
    """Feed all of them, and see that what they compute is worth timing."""
    compiled = [side for side in sides if side.entrant.runtime in _COMPILED]
    if any(side.laid != batch for side in compiled):
        fresh_compiler()
    for side in sides:
        observe(Event("ready", "note", str(side.entrant)))
        if side.laid != batch:
            side.contestant.lay(inputs)
            side.laid = batch
        side.outputs = side.contestant.outputs()
        check_finite(str(side.entrant), side.outputs)
    first = sides[0]
    for side in sides[1:]:
        check_shapes(str(side.entrant), side.outputs, str(first.entrant), first.outputs)


def _results(sides: Sequence[_Side], course: Course, batch: int, observe: Observer) -> list[Result]:
    def tell(done: float) -> None:
        observe(Event("measure", "note", f"batch {batch}", fraction=done))

    found = measure([side.contestant for side in sides], course.budget, tell)
    return [
        Result(
            participant=side.participant(),
            batch=batch,
            samples=samples_in(course.examples, batch),
            latency=latency([taken for each in times for taken in each]),
            ratio=None if side is sides[0] else ratio(times, found[0]),
            outputs={name: array.shape for name, array in side.outputs.items()},
            times=times,
        )
        for side, times in zip(sides, found, strict=True)
    ]


def _with_memory(
    results: Sequence[Result], sides: Sequence[_Side], course: Course, observe: Observer
) -> list[Result]:
    """After the timing, when nothing else runs: each in a process of its own."""
    if not course.memory:
        return list(results)
    told: list[Result] = []
    with stage(observe, "memory"):
        for place, result in enumerate(results):
            side = sides[place % len(sides)]
            observe(Event("memory", "note", f"{side.entrant}, batch {result.batch}"))
            told.append(replace(result, memory=_memory(side, course, result.batch)))
    return told


def _memory(side: _Side, course: Course, batch: int) -> Memory:
    return memory_of(
        side.entrant,
        course.names,
        course.means,
        side.contestant.precision,
        from_torch(course.examples.batch(batch)),
        course.reading,
    )
