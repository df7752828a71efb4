"""Which operator is to blame for the first wrong value: its own, or one before it that only one of the graphs has.

The first wrong value is sought among those that both graphs have. Where an operator was lost, or another came in,
what reads it is the first of these, and is sound itself: run alone, on what it should have read, it gives what
it should.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from bnexport.parity.arrays import Array, Arrays
from bnexport.parity.graph_side import GraphSide
from bnexport.parity.localise import held
from bnexport.parity.result import Wrong

__all__ = ["blamed"]


def blamed(
    wrong: Wrong, right: GraphSide, judged: GraphSide, names: Collection[str], inputs: Arrays
) -> Wrong:
    """``wrong``, or the operator before it by which the graphs differ.

    Args:
        wrong: The first wrong value among ``names``.
        right: What the graph should be.
        judged: The graph in question.
        names: The values that both have.
        inputs: Those on which the value is wrong.

    Raises:
        RunFailed: A part of one of the graphs cannot run.
    """
    ours, theirs = (_between(wrong.value, graph, names) for graph in (judged, right))
    if not (ours or theirs) or not _is_sound(wrong.value, right, judged, inputs):
        return wrong
    before = f"what reads it, {judged.place(wrong.value)}: {wrong.detail}"
    changed = next((name for name in ours if name in theirs), None)
    if changed is not None:
        what = f"it should be {right.operator(changed)}; {before}"
        return _moved(wrong, changed, judged, right.layer(changed), what)
    if ours:
        what = f"there should be no such operator; {before}"
        return _moved(wrong, ours[0], judged, _layer_before(ours[0], judged), what)
    return _moved(wrong, theirs[0], right, right.layer(theirs[0]), f"it is missing; {before}")


def _between(name: str, graph: GraphSide, shared: Collection[str]) -> list[str]:
    """The values that one graph alone has, between the last shared ones and this one, in order."""
    waiting, found = [*graph.sources(name)], set[str]()
    while waiting:
        each = waiting.pop()
        if each not in shared and each not in found:
            found.add(each)
            waiting += graph.sources(each)
    return [each for each in graph.makers if each in found]


def _is_sound(name: str, right: GraphSide, judged: GraphSide, inputs: Arrays) -> bool:
    """Whether the operator gives what it should, when it is given what it should be."""
    if right.makers.get(name) is None or right.operator(name) != judged.operator(name):
        return False
    wanted, read = right.reads(name), judged.reads(name)
    if [place for place, _ in wanted] != [place for place, _ in read]:
        return False
    values: dict[str, Array] = {}
    for (_, source), (_, own) in zip(wanted, read, strict=True):
        values[own] = right.value(source, inputs)
    truth, rounded = right.truth(name, inputs)
    return held(name, judged.alone(name, values), truth, rounded).passed


def _layer_before(name: str, graph: GraphSide) -> str:
    """The layer of the operator, or of the nearest one before it that says."""
    waiting = [name]
    for each in waiting:
        if layer := graph.layer(each):
            return layer
        waiting += sorted(graph.sources(each) - {*waiting})
    return ""


def _moved(wrong: Wrong, value: str, graph: GraphSide, layer: str, detail: str) -> Wrong:
    return replace(wrong, value=value, operator=graph.operator(value), layer=layer, detail=detail)
