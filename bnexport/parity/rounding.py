"""How far rounding takes each output from the truth, in each arithmetic: measured on the model itself."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Protocol, runtime_checkable

from bnexport.parity.arrays import Arrays, is_floating
from bnexport.parity.nudge import nudged, stirred
from bnexport.parity.reference import Reference
from bnexport.parity.runner import RunFailed, Runner
from bnexport.parity.yardstick import (
    Tally,
    Yardstick,
    alike_floor,
    least_floor,
    roundoff,
    usual_floor,
)

__all__ = ["Coarsened", "Rounding", "channel"]


@runtime_checkable
class Coarsened(Protocol):
    """A runner whose model can also be run in a coarser arithmetic."""

    def coarser(self, precision: str) -> Runner | None:
        """The same model in ``float16``, ``bfloat16`` or ``tf32``; None where there is no such thing."""
        ...


class Rounding:
    """The yardsticks of some batches. The model's own is measured at once, another when it is asked for.

    Args:
        reference: The model.
        inputs: The batches; the last is run again, moved by one unit in the last place, or by as much as a coarser
            arithmetic may round it.
        truth: What is right on each.
        nudges: How often the last is run so.
        edge_of: The usual inputs, where these are an edge of theirs. What an edge is for is then seen in the whole of
            an output and in units of what it usually is: it may be next to nothing here, and in a channel that is
            saturated rounding is luck.

    Attributes:
        plain: What the model's own arithmetic makes of each batch.
        finite: Whether it made numbers of them.
        inputs: The last batch.

    Raises:
        RunFailed: The model cannot run in its own arithmetic.
    """

    def __init__(
        self,
        reference: Reference,
        inputs: Sequence[Arrays],
        truth: Sequence[Arrays],
        nudges: int,
        *,
        edge_of: Rounding | None = None,
    ) -> None:
        self._reference = reference
        self._inputs, self._truth, self._nudges = inputs, truth, nudges
        self.inputs = inputs[-1]
        self._usual = edge_of
        floor = alike_floor if edge_of else usual_floor
        self._floor = floor(channel(inputs[-1]))
        self.plain = tuple(truth)
        self._tallies = [Tally() for _ in truth[-1]]
        with reference.rounding as own:
            # The truth held against itself would only thin out the rounding.
            if own is not reference.runner:
                self.plain = tuple(own.run(arrays) for arrays in inputs)
                for outputs, right in zip(self.plain, truth, strict=True):
                    _count(self._tallies, outputs, right)
            self._precision = own.precision
        self.finite = not any(tally.lost for tally in self._tallies)
        self._shortest: tuple[Yardstick, ...] = self._levelled(
            (
                tally.least(right, nudges, self._precision, self._floor)
                for tally, right in zip(self._tallies, truth[-1], strict=True)
            ),
            None if edge_of is None else edge_of._shortest,
        )
        self._own: tuple[Yardstick, ...] | None = None
        self._found: dict[str, tuple[Yardstick, ...]] = {}

    def least(self, precision: str) -> tuple[Yardstick, ...] | None:
        """Yardsticks that are no longer than `of` gives, known before any further run.

        What passes by them passes. None where there are none for this arithmetic.
        """
        finer = roundoff(precision) <= roundoff(self._reference.rounding.precision)
        return self._shortest if finer and self.finite else None

    def level(self, index: int) -> Yardstick:
        """The yardstick of an output that tells how large it is, whatever its rounding."""
        return self._shortest[index]

    def of(self, precision: str) -> tuple[Yardstick, ...]:
        """The yardsticks, one an output, of a runtime with this arithmetic.

        Where it is coarser than the model's own, the model is run in it. Where it cannot be, the model's own are
        returned, whose limits follow the unit roundoff.
        """
        if roundoff(precision) <= roundoff(self._reference.rounding.precision):
            return self._pooled()
        if precision not in self._found:
            self._found[precision] = self._measured(precision)
        return self._found[precision]

    def _measured(self, precision: str) -> tuple[Yardstick, ...]:
        own = self._reference.rounding
        runner = own.coarser(precision) if isinstance(own, Coarsened) else None
        if runner is None:
            return self._pooled()
        try:
            with runner:
                tallies = [Tally() for _ in self._truth[-1]]
                for arrays, right in zip(self._inputs, self._truth, strict=True):
                    _count(tallies, runner.run(arrays), right)
                self._nudge(runner, tallies, roundoff(precision))
        except RunFailed:
            return self._pooled()
        # What overflowed measures nothing: numbers are judged by numbers.
        found = self._yardsticks(tallies, precision, max(self._floor, least_floor(precision)))
        return tuple(
            fine if tally.lost else coarse
            for tally, coarse, fine in zip(tallies, found, self._pooled(), strict=True)
        )

    def _pooled(self) -> tuple[Yardstick, ...]:
        """The model's own, pooled over the runs on inputs that were moved, which are made when they are needed."""
        if self._own is None:
            with self._reference.rounding as own:
                self._nudge(own, self._tallies, None)
            self._own = self._yardsticks(self._tallies, self._precision, self._floor)
        return self._own

    def _yardsticks(
        self, tallies: Sequence[Tally], precision: str, floor: float
    ) -> tuple[Yardstick, ...]:
        found = (tally.yardstick(precision, floor) for tally in tallies)
        return self._levelled(found, None if self._usual is None else self._usual.of(precision))

    @staticmethod
    def _levelled(
        found: Iterable[Yardstick], usual: Sequence[Yardstick] | None
    ) -> tuple[Yardstick, ...]:
        return tuple(found if usual is None else map(Yardstick.levelled, found, usual))

    def _nudge(self, runner: Runner, tallies: Sequence[Tally], unit: float | None) -> None:
        """Count runs on inputs that were moved by ``unit``; their outputs are not kept."""
        for seed in range(self._nudges):
            _count(tallies, runner.run(self._moved(seed, unit)), self._truth[-1])

    def _moved(self, seed: int, unit: float | None) -> Arrays:
        last = self._inputs[-1]
        if self._usual is None:
            return nudged(last, seed, unit)
        return stirred(last, self._usual.inputs, seed)


def channel(inputs: Arrays) -> int:
    """How many numbers of a sample a mean over one channel would run over."""
    return max((math.prod(each.shape[2:]) for each in inputs if is_floating(each)), default=1)


def _count(tallies: Sequence[Tally], outputs: Arrays, truth: Arrays) -> None:
    for tally, own, right in zip(tallies, outputs, truth, strict=True):
        # A shape that follows the values may turn with the rounding; the judge reports it.
        if own.shape == right.shape:
            tally.add(own, right)
