"""The verdicts of the verify station."""

from __future__ import annotations

from dataclasses import dataclass

from bnexport.errors import ParityFailure

__all__ = ["Check", "Parity", "Point", "Skipped", "Wrong"]


@dataclass(frozen=True)
class Check:
    """One output of one runtime, judged at one batch size.

    Attributes:
        runtime: Name, version and device, as shown: ``ONNX Runtime 1.32.0 (cpu)``.
        precision: The arithmetic the runtime was asked for: ``float32``, ``tf32``, ``float16``.
        batch: The number of samples run together.
        kind: ``agreement`` with the reference; ``alone``: each sample run by itself against the
            same sample in the batch; ``neighbours``: the other samples replaced; ``moved``: the
            samples in other places; ``graph``: an operator of the file mixes samples.
        output: The name of the output.
        max_abs: max |a - b|.
        relative: ||a - b|| / ||b||.
        yardstick: The error that the model's own rounding explains, in the measure of ``relative``.
        limit: What ``relative`` was held against (or, with explicit tolerances, 1.0 for the worst
            ratio |a - b| / (atol + rtol |b|)).
        worst: Index of the element where |a - b| is largest.
        passed: The verdict.
        detail: One sentence, where there is something to say (a failure always has one).
        peak: max |a - b| / max |b|: a single broken element of a large output shows here.
        peak_limit: What ``peak`` was held against.
        ratio: How much of its limit the worst measure used; passed means 1 or less, infinite means
            that nothing could be measured (another shape, NaN, a runtime that failed).
        inputs: What the samples were, where they were not those of the examples: ``zeros``.
        part: The channel that errs the most by its own rounding, where an output has channels: ``[:, 37]``.
        part_relative: ||a - b|| / ||b|| of it.
        part_limit: What that was held against.
        histogram: Of the usual inputs: how many elements err by what share of the limit on the largest, by half powers
            of ten from ``DECADES[0]`` to ``DECADES[1]``, and those below and above.
    """

    runtime: str
    precision: str
    batch: int
    kind: str
    output: str
    max_abs: float
    relative: float
    yardstick: float
    limit: float
    worst: tuple[int, ...]
    passed: bool
    detail: str = ""
    peak: float = 0.0
    peak_limit: float = 0.0
    ratio: float = 0.0
    inputs: str = ""
    part: str = ""
    part_relative: float = 0.0
    part_limit: float = 0.0
    histogram: tuple[int, ...] = ()


@dataclass(frozen=True)
class Skipped:
    """A check that could not be made, and why.

    Attributes:
        runtime: What would have run.
        reason: ``built for sm_89, not executed: no CUDA device``.
    """

    runtime: str
    reason: str


@dataclass(frozen=True)
class Point:
    """A value that the search for the first wrong one looked at.

    Attributes:
        value: Its name.
        layer: The qualified name of its module; may be empty.
        place: In the order of the graph.
        ratio: Its error over what rounding explains.
    """

    value: str
    layer: str
    place: int
    ratio: float


@dataclass(frozen=True)
class Wrong:
    """The first value of a graph that is wrong: what its operator reads is right.

    Attributes:
        value: Its name.
        operator: What gives it.
        layer: The qualified name of the module that it comes from; empty where that is not known.
        detail: How far it is off.
        probes: How many values were looked at.
        curve: Those that could be measured.
    """

    value: str
    operator: str
    layer: str
    detail: str
    probes: int
    curve: tuple[Point, ...] = ()

    def __str__(self) -> str:
        where = f"layer {self.layer!r}, " if self.layer else ""
        return f"{where}{self.operator} {self.value!r}: {self.detail}"


@dataclass(frozen=True)
class Parity:
    """Every check of one verification.

    Attributes:
        reference: What the outputs were held against: ``PyTorch 2.13.0 eval mode, float64``.
        checks: In the order in which they were made; never empty.
        skipped: What was asked for and could not be checked.
        batches: The batch sizes run.
        multiple: The stated multiple of the yardstick that a runtime may err by; None with
            explicit tolerances.
        mixes_batch: Whether the model was declared to mix samples on purpose.
        located: Where a disagreement starts, in words; empty where nothing was searched.
        origin: The first wrong value, where it was found.
    """

    reference: str
    checks: tuple[Check, ...]
    skipped: tuple[Skipped, ...] = ()
    batches: tuple[int, ...] = ()
    multiple: float | None = None
    mixes_batch: bool = False
    located: str = ""
    origin: Wrong | None = None

    @property
    def ok(self) -> bool:
        """Whether something was compared and all of it passed."""
        return bool(self.checks) and all(check.passed for check in self.checks)

    @property
    def failures(self) -> tuple[Check, ...]:
        """The checks that failed."""
        return tuple(check for check in self.checks if not check.passed)

    def raise_for_failure(self) -> None:
        """Raise `ParityFailure`, naming the first failure, unless everything passed."""
        if self.ok:
            return
        if not self.checks:
            raise ParityFailure("nothing was compared", "no runtime produced an output to judge")
        first, more = self.failures[0], len(self.failures) - 1
        what = f"{first.runtime}: output {first.output!r} at batch {first.batch}"
        what += f" on {first.inputs}" if first.inputs else ""
        rest = f" (and {more} more failed checks)" if more else ""
        start = f". It starts in {self.located}" if self.origin else ""
        raise ParityFailure(what, first.detail + rest + start)
