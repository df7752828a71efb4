"""How far rounding takes each output from the truth, in each arithmetic: measured on the model itself."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Protocol, runtime_checkable

from bnexport.parity.arrays import Array, Arrays, is_floating
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

__all__ = ["Coarsened", "Rounding"]


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
        finite: Whether it made numbers of them, moved or not.
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
        self._floor = floor(max(map(_channel, inputs[-1]), default=1))
        self.plain = tuple(truth)
        with reference.rounding as own:
            if own is not reference.runner:
                self.plain = tuple(own.run(arrays) for arrays in inputs)
            # The truth held against itself would only thin out the rounding.
            plain = () if own is reference.runner else self.plain
            tallies = self._tallied(own, plain, None)
        self.finite = not any(tally.lost for tally in tallies)
        self._own = self._yardsticks(tallies, own.precision, self._floor)
        self._found: dict[str, tuple[Yardstick, ...]] = {}

    def of(self, precision: str) -> tuple[Yardstick, ...]:
        """The yardsticks, one an output, of a runtime with this arithmetic.

        Where it is coarser than the model's own, the model is run in it. Where it cannot be, the model's own are
        returned, whose limits follow the unit roundoff.
        """
        if roundoff(precision) <= roundoff(self._reference.rounding.precision):
            return self._own
        if precision not in self._found:
            self._found[precision] = self._measured(precision)
        return self._found[precision]

    def _measured(self, precision: str) -> tuple[Yardstick, ...]:
        own = self._reference.rounding
        runner = own.coarser(precision) if isinstance(own, Coarsened) else None
        if runner is None:
            return self._own
        try:
            with runner:
                plain = map(runner.run, self._inputs)
                tallies = self._tallied(runner, plain, roundoff(precision))
        except RunFailed:
            return self._own
        # What overflowed measures nothing: numbers are judged by numbers.
        found = self._yardsticks(tallies, precision, max(self._floor, least_floor(precision)))
        return tuple(
            fine if tally.lost else coarse
            for tally, coarse, fine in zip(tallies, found, self._own, strict=True)
        )

    def _yardsticks(
        self, tallies: Sequence[Tally], precision: str, floor: float
    ) -> tuple[Yardstick, ...]:
        found = tuple(tally.yardstick(precision, floor) for tally in tallies)
        if self._usual is None:
            return found
        return tuple(map(Yardstick.levelled, found, self._usual.of(precision)))

    def _tallied(self, runner: Runner, plain: Iterable[Arrays], unit: float | None) -> list[Tally]:
        """Of the plain runs, and of those on what was moved by ``unit``, which are not kept."""
        tallies = [Tally() for _ in self._truth[-1]]
        for outputs, truth in zip(plain, self._truth, strict=False):
            _count(tallies, outputs, truth)
        for seed in range(self._nudges):
            _count(tallies, runner.run(self._moved(seed, unit)), self._truth[-1])
        return tallies

    def _moved(self, seed: int, unit: float | None) -> Arrays:
        last = self._inputs[-1]
        if self._usual is None:
            return nudged(last, seed, unit)
        return stirred(last, self._usual.inputs, seed)


def _channel(array: Array) -> int:
    """How many numbers of a sample a mean over one channel would run over."""
    return math.prod(array.shape[2:]) if is_floating(array) else 1


def _count(tallies: Sequence[Tally], outputs: Arrays, truth: Arrays) -> None:
    for tally, own, right in zip(tallies, outputs, truth, strict=True):
        # A shape that follows the values may turn with the rounding; the judge reports it.
        if own.shape == right.shape:
            tally.add(own, right)
