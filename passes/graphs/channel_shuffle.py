"""Channel shuffle: Reshape, Transpose and Reshape that only put the channels in another order.

    (N, C, ...) -> (N, a, b, ...) -> (N, b, a, ...) -> (N, C, ...)

An affine passes the three in one, permuted as they are; between them it would run along two axes.
"""

from __future__ import annotations

import math
from itertools import zip_longest

import numpy as np
import onnx_ir as ir

from bnexport.passes.graphs.graph import Indices, alike, same_size, sizes

__all__ = ["shuffle_before", "shuffle_behind"]


def shuffle_before(last: ir.Node) -> tuple[ir.Node, Indices] | None:
    """The first node of a shuffle that ends in ``last``, and which input channel each output channel is."""
    turn = _feeding(last, "Transpose")
    first = _feeding(turn, "Reshape") if turn is not None else None
    if turn is None or first is None or last.op_type != "Reshape":
        return None
    index = _order(first, turn, last)
    return None if index is None else (first, index)


def shuffle_behind(first: ir.Node) -> tuple[ir.Node, Indices] | None:
    """The last node of a shuffle that starts with ``first``, and which input channel each output channel is."""
    turn = _only_reader(first)
    last = _only_reader(turn) if turn is not None else None
    found = shuffle_before(last) if last is not None else None
    return None if last is None or found is None else (last, found[1])


def _order(first: ir.Node, turn: ir.Node, last: ir.Node) -> Indices | None:
    source, result = first.inputs[0], last.outputs[0]
    inner, shape = sizes(first.outputs[0]), sizes(result)
    if source is None or not alike(source, result):
        return None
    if inner is None or shape is None or len(shape) < 2 or shape[1] is None:
        return None
    factors = _factors(inner, shape[1])
    perm = list(turn.attributes.get_ints("perm", tuple(reversed(range(len(inner))))))
    rest = list(range(factors + 1, len(inner)))
    if not factors or perm[0] != 0 or perm[factors + 1 :] != rest:
        return None
    if not _keeps_places(first.outputs[0], result, factors):
        return None
    grid = np.arange(shape[1]).reshape([size or 0 for size in inner[1 : factors + 1]])
    return grid.transpose([axis - 1 for axis in perm[1 : factors + 1]]).reshape(-1)


def _keeps_places(split: ir.Value, whole: ir.Value, factors: int) -> bool:
    """Whether only the channels are split: batch and places stay as they are, or become one axis of as many."""
    inner, shape = split.shape or (), whole.shape or ()
    if all(isinstance(size, int) for size in (*inner[1:], *shape[1:])):
        return math.prod(inner[1:]) == math.prod(shape[1:])
    rest = [*inner[:1], *inner[factors + 1 :]], [*shape[:1], *shape[2:]]
    return all(same_size(a, b) for a, b in zip_longest(*rest, fillvalue=0))


def _factors(inner: tuple[int | None, ...], channels: int) -> int:
    """How many axes from axis 1 on make up the channels; 0 where none do."""
    total = 1
    for count, size in enumerate(inner[1:], 1):
        total *= size or 0
        if total == channels:
            return count
    return 0


def _feeding(node: ir.Node, operator: str) -> ir.Node | None:
    """The node before it, if it is of that kind and nothing else reads it."""
    value = node.inputs[0] if node.inputs else None
    before = value.producer() if value is not None else None
    if before is None or before.op_type != operator or before.domain:
        return None
    return before if _only_reader(before) is node and before.graph is node.graph else None


def _only_reader(node: ir.Node) -> ir.Node | None:
    uses = list(node.outputs[0].uses())
    if len(uses) != 1 or node.outputs[0].is_graph_output():
        return None
    return uses[0].node
