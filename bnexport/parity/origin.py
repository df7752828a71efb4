"""Where a NaN or an infinity starts: the first layer, or the first value of a graph, that has one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, runtime_checkable

import numpy as np

from bnexport.parity.arrays import Array, Arrays, widened
from bnexport.parity.bisect import first_bad

if TYPE_CHECKING:
    from bnexport.parity.graph_side import GraphSide

__all__ = ["Traceable", "finite", "first_value"]


@runtime_checkable
class Traceable(Protocol):
    """A runner that can say where non-finite numbers start."""

    def origin(self, inputs: Arrays) -> str:
        """The layer or value that first has one; empty where none is seen on the way."""
        ...


def finite(array: Array) -> bool:
    """Whether every element is a number."""
    return bool(np.isfinite(widened(array)).all())


def first_value(graph: GraphSide, inputs: Arrays) -> str:
    """The first value of the graph that is not finite, on the way to an output that is not; empty: there is none.

    Raises:
        RunFailed: The graph cannot be run.
    """

    def good(name: str) -> bool:
        array = graph.value(name, inputs)
        return array.dtype.kind not in "fc" or finite(array)

    for output in graph.outputs:
        if output in graph.makers and not good(output):
            return first_bad(graph, list(graph.makers), output, good)
    return ""
