"""Reshape targets that are computed from shapes, written down: the exporter spells flatten as Shape, Slice, Concat.

    y: [N, 2048] of x: [N, 2048, 1, 1]  ->  Reshape(x, [0, 2048])
    y: [M, 64] of x: [N, 8, 64]         ->  Reshape(x, [-1, 64])

At most one size may be unknown, unless it is one that x has in the same place.
"""

from __future__ import annotations

import onnx_ir as ir

from bnexport.passes.graphs.contract import GraphPass
from bnexport.passes.graphs.graph import is_constant, same_size, set_constant
from bnexport.passes.graphs.naming import Names
from bnexport.passes.graphs.traverse import every_node

__all__ = ["FixReshapes"]


class FixReshapes(GraphPass):
    """Give each Reshape whose result has known sizes a constant target."""

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Write them in place."""
        names, modified = Names(model.graph), False
        for node in every_node(model.graph):
            if node.op_type != "Reshape" or node.domain or is_constant(node.inputs[1]):
                continue
            target = _target(node)
            if target is not None:
                numbers = ir.tensor(target, ir.DataType.INT64)
                set_constant(node, 1, numbers.numpy(), ir.DataType.INT64, names)
                node.attributes.pop("allowzero", None)  # no size is zero
                modified = True
        return ir.passes.PassResult(model, modified)


def _target(node: ir.Node) -> list[int] | None:
    source, result = node.inputs[0], node.outputs[0]
    if source is None or source.shape is None or result.shape is None:
        return None
    target = [_entry(source.shape, place, size) for place, size in enumerate(result.shape)]
    known = [size for size in target if size != -1]
    sizes = [size for size in (*source.shape, *result.shape) if isinstance(size, int)]
    if len(target) - len(known) > 1 or 0 in sizes:
        return None
    return target


def _entry(source: ir.Shape, place: int, size: int | ir.SymbolicDim) -> int:
    """A size; 0 for that of the source, -1 for what is left."""
    if isinstance(size, int):
        return size
    return 0 if place < len(source) and same_size(source[place], size) else -1
