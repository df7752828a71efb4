"""Depth-first search over the forks of a walk: a shift may go into either side of a sum."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from bnexport.passes.graphs.plan import Plan

__all__ = ["Picks", "search"]

MOST_TRIALS = 64


class Picks:
    """Which way was taken at each fork of a walk."""

    def __init__(self, first: Iterable[int] = ()) -> None:
        self._first = list(first)
        self._taken: list[int] = []
        self._ways: list[int] = []

    def pick(self, ways: int) -> int:
        """The way to take at the next fork."""
        place = len(self._taken)
        self._taken.append(self._first[place] if place < len(self._first) else 0)
        self._ways.append(ways)
        return self._taken[-1]

    def following(self) -> Picks | None:
        """The next walk: another way at the last fork that has one."""
        for place in reversed(range(len(self._taken))):
            if self._taken[place] + 1 < self._ways[place]:
                return Picks([*self._taken[:place], self._taken[place] + 1])
        return None


def search(walk: Callable[[Picks], Plan | str]) -> Plan | str:
    """The first plan that comes of any way through the forks; else why the first walk ended."""
    picks: Picks | None = Picks()
    reason = ""
    for _ in range(MOST_TRIALS):
        if picks is None:
            break
        outcome = walk(picks)
        if isinstance(outcome, Plan):
            return outcome
        reason = reason or outcome
        picks = picks.following()
    return reason
