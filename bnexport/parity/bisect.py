"""The first bad value of a graph, found as git finds the first bad commit.

A suspect is a value that may be the first bad one. The probe is the value that splits the suspects best: where it
is good, so is all before it; where it is bad, the first bad one is it, or before it. Some log2(n) are looked at.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bnexport.parity.graph_side import GraphSide

__all__ = ["first_bad"]


def first_bad(graph: GraphSide, names: Sequence[str], bad: str, good: Callable[[str], bool]) -> str:
    """The earliest bad value on the way to ``bad``.

    Args:
        graph: Says what is before what.
        names: The values that can be looked at, ``bad`` among them, in the order of the graph.
        bad: One that is bad.
        good: Looks at a value.
    """
    behind = _ancestors(graph, names)
    culprit, suspects = bad, behind[names.index(bad)]
    while suspects:
        probe = _middle(suspects, behind)
        reached = behind[probe]
        if good(names[probe]):
            suspects &= ~(reached | 1 << probe)
        else:
            culprit, suspects = names[probe], suspects & reached
    return culprit


def _middle(suspects: int, behind: Sequence[int]) -> int:
    """The one that splits the suspects best, whichever way it turns out."""
    total, rest = suspects.bit_count(), suspects
    best, closest = -1, total + 1
    while rest:
        place = (rest & -rest).bit_length() - 1
        rest &= rest - 1
        uneven = abs(2 * ((behind[place] & suspects).bit_count() + 1) - total)
        if uneven < closest:
            best, closest = place, uneven
    return best


def _ancestors(graph: GraphSide, names: Sequence[str]) -> list[int]:
    """Of each name, the names before it, as bits."""
    places = {name: place for place, name in enumerate(names)}
    reached: dict[str, int] = {}
    for name in graph.makers:
        bits = 0
        for source in graph.sources(name):
            bits |= reached[source]
            if source in places:
                bits |= 1 << places[source]
        reached[name] = bits
    return [reached[name] for name in names]
