"""Where two forms of one model begin to differ: a bisection over the values that both have.

One value is held at a time, of either side, and only what it needs is run.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np

from bnexport.parity.arrays import Array, Arrays
from bnexport.parity.bisect import first_bad
from bnexport.parity.graph_side import GraphSide
from bnexport.parity.judge import Subject, judge
from bnexport.parity.result import Check, Point, Wrong
from bnexport.parity.runner import FrozenBatch, RunFailed
from bnexport.parity.yardstick import Tally

__all__ = ["Right", "common_values", "first_failing", "first_wrong", "held"]


class Right(Protocol):
    """What a graph is held against, value by value."""

    def truth(self, name: str, inputs: Arrays) -> tuple[Array, Sequence[Array]]:
        """The value as it should be, and as rounding may leave it, some times."""
        ...


def first_wrong(
    right: Right, judged: GraphSide, names: Sequence[str], inputs: Arrays
) -> Wrong | None:
    """The first value of ``judged`` that differs from the same one of ``right`` by more than rounding explains.

    Args:
        right: What it should be.
        judged: The graph in question.
        names: The values that both have, in the order of ``judged``.
        inputs: One batch.

    Returns:
        None where every output that both have agrees, the optimisers being off.

    Raises:
        RunFailed: One of them cannot run.
    """
    checks: dict[str, Check] = {}
    agrees = _comparer(right, judged, inputs, checks)
    for output in judged.outputs:
        if output in names and not agrees(output):
            culprit = first_bad(judged, names, output, agrees)
            operator, layer = judged.operator(culprit), judged.layer(culprit)
            looked = _points(judged, checks)
            return Wrong(culprit, operator, layer, checks[culprit].detail, len(checks), looked)
    return None


def _points(judged: GraphSide, checks: dict[str, Check]) -> tuple[Point, ...]:
    places = {name: place for place, name in enumerate(judged.makers)}
    return tuple(
        Point(name, judged.layer(name), places[name], check.ratio)
        for name, check in sorted(checks.items(), key=lambda item: places[item[0]])
        if math.isfinite(check.ratio)
    )


def first_failing(judged: GraphSide, inputs: Arrays) -> Wrong | None:
    """The first value that ONNX Runtime cannot compute; None where it can compute every output.

    Args:
        judged: The graph in question.
        inputs: One batch.

    Raises:
        FrozenBatch: The file takes another number of samples.
    """
    reasons: dict[str, str] = {}

    def runs(name: str) -> bool:
        try:
            judged.value(name, inputs)
        except FrozenBatch:
            raise  # it is the input that does not fit: no value can be computed
        except RunFailed as failure:
            reasons[name] = failure.why
            return False
        return True

    for output in judged.outputs:
        if output in judged.makers and not runs(output):
            culprit = first_bad(judged, [*judged.makers], output, runs)
            operator, layer = judged.operator(culprit), judged.layer(culprit)
            why = f"it cannot be run: {reasons[culprit]}"
            return Wrong(culprit, operator, layer, why, len(reasons))
    return None


def common_values(a: GraphSide, b: GraphSide) -> list[str]:
    """The values that have one name, from one operator, in both, and the outputs; in the order of ``b``."""
    outputs = {*a.outputs} & {*b.outputs}
    shared = (name for name in b.makers if name in a.makers)
    return [name for name in shared if name in outputs or a.operator(name) == b.operator(name)]


def _comparer(
    right: Right, judged: GraphSide, inputs: Arrays, checks: dict[str, Check]
) -> Callable[[str], bool]:
    """Run both sides up to a value, and hold one against the other; each value once."""

    def agrees(name: str) -> bool:
        if name not in checks:
            truth, rounded = right.truth(name, inputs)
            checks[name] = held(name, judged.value(name, inputs), truth, rounded)
        return checks[name].passed

    return agrees


def held(name: str, found: Array, truth: Array, rounded: Sequence[Array]) -> Check:
    """The verdict on one value.

    Args:
        name: Of the value.
        found: What it is.
        truth: What it should be.
        rounded: As rounding may leave it.
    """
    tally = Tally()
    for other in rounded:
        if other.shape == truth.shape:
            tally.add(other, truth)
    sides = "the file", "what it should be"
    precision = str(found.dtype)
    subject = Subject("", precision, len(np.atleast_1d(truth)), "agreement", name, sides)
    return judge(subject, found, truth, tally.yardstick(precision))
