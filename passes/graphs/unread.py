"""Drop what nobody reads. What is read inside a dropped If alone is read by nobody, either."""

from __future__ import annotations

import itertools

import onnx_ir as ir
import onnx_ir.passes.common as common

from bnexport.passes.graphs.traverse import every_node, may_hold

__all__ = ["DropUnread", "forget_dropped"]


class DropUnread(ir.passes.InPlacePass):
    """Remove nodes whose results nobody reads, to the fixed point, and constants with them."""

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Remove in place."""
        modified, going = False, True
        while going:
            holders = [node for node in every_node(model.graph) if may_hold(node)]
            modified |= common.RemoveUnusedNodesPass()(model).modified
            going = any(node.graph is None for node in holders) and forget_dropped(model)
        return ir.passes.PassResult(model, modified)


def forget_dropped(model: ir.Model) -> bool:
    """Take what nodes read away from those that are in no graph of the model any longer; whether there were any.

    Nodes in the branches of an If are readers to the library after the If is gone, or one branch of it.
    """
    here = set(every_node(model.graph))
    given = (graph.inputs for graph in model.graphs())
    constants = (graph.initializers.values() for graph in model.graphs())
    results = (node.outputs for node in here)
    found = False
    for value in itertools.chain.from_iterable((*given, *constants, *results)):
        for node, index in value.uses():
            if node not in here:
                node.replace_input_with(index, None)
                found = True
    return found
