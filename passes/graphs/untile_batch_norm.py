"""Untile: an InstanceNorm with tracked statistics is a BatchNorm, which the exporter writes for batch * channels.

    reshape(BN(reshape(x, (1, N C, ...)), tile(p, N)), (N, C, ...))  ->  BN(x, p)

Row-major, channel n C + c of the reshaped value is channel c of sample n, and tile gives it p_c. As long as the
axes behind the channels stay, it does not matter how the reshape divides N C.
"""

from __future__ import annotations

import onnx_ir as ir

from bnexport.passes.graphs.contract import GraphPass
from bnexport.passes.graphs.graph import alike, bypass, is_constant, sizes
from bnexport.passes.graphs.traverse import every_node

__all__ = ["UntileBatchNorm"]


class UntileBatchNorm(GraphPass):
    """Let BatchNormalization read the value as it is; whose parameters are tiled over the batch."""

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Untile in place; what is unread afterwards stays for others to drop."""
        modified = False
        for node in list(every_node(model.graph)):
            if node.op_type == "BatchNormalization" and not node.domain:
                modified |= _untile(node)
        return ir.passes.PassResult(model, modified)


def _untile(node: ir.Node) -> bool:
    before, parameters = node.inputs[0], [_tiled(value) for value in node.inputs[1:]]
    wide, result = before.producer() if before else None, node.outputs[0]
    uses = list(result.uses())
    if wide is None or wide.op_type != "Reshape" or len(uses) != 1 or result.is_graph_output():
        return False
    source, after = wide.inputs[0], uses[0].node
    if source is None or source.shape is None or after.op_type != "Reshape":
        return False
    whole, there = sizes(source) or (), sizes(wide.outputs[0]) or ()
    if there[2:] != whole[2:] or None in whole[1:] or not alike(after.outputs[0], source):
        return False
    if any(value is None or sizes(value) != (whole[1],) for value in parameters):
        return False
    for index, value in enumerate([source, *parameters]):
        node.replace_input_with(index, value)
    result.shape = source.shape
    bypass(after, 0)
    return True


def _tiled(value: ir.Value | None) -> ir.Value | None:
    """The constant vector that ``value`` repeats."""
    node = value.producer() if value is not None else None
    if node is None or node.op_type != "Tile" or node.domain:
        return None
    return node.inputs[0] if is_constant(node.inputs[0]) else None
