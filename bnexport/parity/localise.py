"""Where two graphs begin to differ: a bisection over the values that both have, as git bisects commits.

A suspect is a value that may be the first wrong one. The probe is the value that splits the suspects best: where
it is right, so is all before it; where it is wrong, the first wrong one is it, or before it. Some log2(n) values
are looked at, one at a time.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bnexport.parity.arrays import Array, Arrays
from bnexport.parity.graph_side import GraphSide
from bnexport.parity.judge import Subject, judge
from bnexport.parity.nudge import nudged
from bnexport.parity.result import Check, Wrong
from bnexport.parity.yardstick import Tally

__all__ = ["common_values", "first_wrong"]

NUDGES = 2


def first_wrong(right: GraphSide, judged: GraphSide, inputs: Arrays) -> Wrong | None:
    """The first value of ``judged`` that differs from the same one of ``right`` by more than rounding explains.

    Args:
        right: The graph as it should be.
        judged: The graph in question; values of the same name are taken for the same.
        inputs: One batch.

    Returns:
        None where every output that both have agrees, the optimisers being off.

    Raises:
        RunFailed: One of them cannot run.
    """
    hunt = _Hunt(right, judged, inputs)
    for output in judged.outputs:
        if output in hunt.places and not hunt.agrees(output):
            return hunt.before(output)
    return None


def common_values(a: GraphSide, b: GraphSide) -> list[str]:
    """The values that have one name, from one operator, in both; in the order of ``b``."""
    return [name for name in b.makers if name in a.makers and a.operator(name) == b.operator(name)]


class _Hunt:
    """One search, and what it has found out so far."""

    def __init__(self, right: GraphSide, judged: GraphSide, inputs: Arrays) -> None:
        self._right, self._judged = right, judged
        self._inputs = [inputs, *(nudged(inputs, seed) for seed in range(NUDGES))]
        self._names = common_values(right, judged)
        self.places = {name: place for place, name in enumerate(self._names)}
        self._behind = self._ancestors()
        self._checks: dict[str, Check] = {}

    def agrees(self, name: str) -> bool:
        """Run both sides up to this value, and hold one against the other."""
        if name not in self._checks:
            truth, *moved = self._right.value(name, self._inputs)
            (found,) = self._judged.value(name, self._inputs[:1])
            self._checks[name] = _held(name, found, truth, moved)
        return self._checks[name].passed

    def before(self, wrong: str) -> Wrong:
        """The first wrong value on the way to ``wrong``."""
        culprit, suspects = wrong, self._behind[self.places[wrong]]
        while suspects:
            probe = self._middle(suspects)
            reached = self._behind[probe]
            if self.agrees(self._names[probe]):
                suspects &= ~(reached | 1 << probe)
            else:
                culprit, suspects = self._names[probe], suspects & reached
        judged, check = self._judged, self._checks[culprit]
        operator, layer = judged.operator(culprit), judged.layer(culprit)
        return Wrong(culprit, operator, layer, check.detail, len(self._checks))

    def _middle(self, suspects: int) -> int:
        """The value that splits the suspects best, whichever way it turns out."""
        total, rest = suspects.bit_count(), suspects
        best, closest = -1, total + 1
        while rest:
            place = (rest & -rest).bit_length() - 1
            rest &= rest - 1
            uneven = abs(2 * ((self._behind[place] & suspects).bit_count() + 1) - total)
            if uneven < closest:
                best, closest = place, uneven
        return best

    def _ancestors(self) -> list[int]:
        """Of each common value, the common values before it, as bits."""
        reached: dict[str, int] = {}
        for name in self._judged.makers:
            bits = 0
            for source in self._judged.sources(name):
                bits |= reached[source]
                if source in self.places:
                    bits |= 1 << self.places[source]
            reached[name] = bits
        return [reached[name] for name in self._names]


def _held(name: str, found: Array, truth: Array, moved: Sequence[Array]) -> Check:
    tally = Tally()
    for other in moved:
        if other.shape == truth.shape:
            tally.add(other, truth)
    sides = "the file", "what it should be"
    subject = Subject("", str(truth.dtype), len(np.atleast_1d(truth)), "agreement", name, sides)
    return judge(subject, found, truth, tally.yardstick(str(truth.dtype)))
