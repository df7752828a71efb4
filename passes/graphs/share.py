"""Equal weights become one: a weight that is used twice has been folded twice, alike."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import onnx_ir as ir

from bnexport.passes.graphs.contract import GraphPass
from bnexport.passes.graphs.scaled import ScaledTensor

__all__ = ["ShareInitializers"]

_EDGE = 64  # numbers at either end that tell most weights apart


class ShareInitializers(GraphPass):
    """Let one initializer stand for all that are equal to it, bit for bit."""

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Share in place."""
        modified = False
        for graph in model.graphs():
            alike: dict[object, list[ir.Value]] = defaultdict(list)
            for value in graph.initializers.values():
                if not (value.is_graph_input() or value.is_graph_output()):
                    key = _key(value)
                    if key is not None:
                        alike[key].append(value)
            for values in alike.values():
                modified |= _share(values)
        return ir.passes.PassResult(model, modified)


def _key(value: ir.Value) -> object:
    """What equal weights have in common and unequal ones hardly ever; None for one that is left alone."""
    tensor = value.const_value
    if tensor is None or tensor.dtype == ir.DataType.STRING:
        return None
    if isinstance(tensor, ScaledTensor):  # equal where it was folded alike
        return id(tensor.scaled.base), tensor.scaled.factor.shape, tensor.scaled.factor.tobytes()
    numbers = np.ravel(tensor.numpy())
    ends = numbers[:_EDGE].tobytes(), numbers[-_EDGE:].tobytes()
    return tensor.dtype, tuple(tensor.shape.numpy()), ends


def _share(values: list[ir.Value]) -> bool:
    kept: list[ir.Value] = []
    modified = False
    for value in values:
        same = next((other for other in kept if _equal(value, other)), None)
        if same is None:
            kept.append(value)
            continue
        value.replace_all_uses_with(same)
        graph = value.graph
        if graph is not None and value.name is not None:
            del graph.initializers[value.name]
        modified = True
    return modified


def _equal(a: ir.Value, b: ir.Value) -> bool:
    first, second = a.const_value, b.const_value
    if first is None or second is None:
        return False
    if first is second or isinstance(first, ScaledTensor):  # whose key is all there is to it
        return True
    x, y = (np.ravel(each.numpy()).view(np.uint8) for each in (first, second))
    return bool(np.array_equal(x, y))
