"""Shapes: the folding rules decide by them, so every value gets what can be inferred."""

from __future__ import annotations

import onnx_ir as ir
import onnx_ir.passes.common as common

from bnexport.passes.graphs.contract import GraphPass

__all__ = ["InferShapes", "NameBatch"]


class InferShapes(GraphPass):
    """Run ONNX shape inference, unless every value has a shape already."""

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Infer in place."""
        nodes = ir.traversal.RecursiveGraphIterator(model.graph)
        if all(value.shape is not None for node in nodes for value in node.outputs):
            return ir.passes.PassResult(model, False)
        return common.ShapeInferencePass(check_type=False, strict_mode=False)(model)


class NameBatch(GraphPass):
    """Call the free first axis of the inputs ``N`` wherever it occurs."""

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Rename in place."""
        batch = {_symbol(value, 0) for value in model.graph.inputs} - {"", "N"}
        values = [*model.graph.inputs]
        for node in ir.traversal.RecursiveGraphIterator(model.graph):
            values += node.outputs
        modified = False
        for value in values:
            symbols = [_symbol(value, axis) for axis in range(len(value.shape or ()))]
            if value.shape is not None and batch & set(symbols):
                sizes = zip(value.shape, symbols, strict=True)
                value.shape = ir.Shape(["N" if name in batch else size for size, name in sizes])
                modified = True
        return ir.passes.PassResult(model, modified)


def _symbol(value: ir.Value, axis: int) -> str:
    """The name of a free axis; empty where it is fixed or has none."""
    if value.shape is None or axis >= len(value.shape) or isinstance(value.shape[axis], int):
        return ""
    name = getattr(value.shape[axis], "value", None)
    return name if isinstance(name, str) else ""
