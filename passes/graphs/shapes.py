"""Shapes: the folding rules decide by them, so every value gets what can be inferred."""

from __future__ import annotations

import onnx_ir as ir
import onnx_ir.passes.common as common

__all__ = ["InferShapes", "NameBatch"]


class InferShapes(ir.passes.InPlacePass):
    """Run ONNX shape inference, unless every value has a shape already."""

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Infer in place."""
        nodes = ir.traversal.RecursiveGraphIterator(model.graph)
        if all(value.shape is not None for node in nodes for value in node.outputs):
            return ir.passes.PassResult(model, False)
        return common.ShapeInferencePass(check_type=False, strict_mode=False)(model)


class NameBatch(ir.passes.InPlacePass):
    """Call the free first axis of the inputs ``N`` wherever it occurs."""

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Rename in place."""
        batch = {
            str(value.shape[0])
            for value in model.graph.inputs
            if value.shape is not None and len(value.shape) and not isinstance(value.shape[0], int)
        } - {"None", "N"}
        values = [*model.graph.inputs]
        for node in ir.traversal.RecursiveGraphIterator(model.graph):
            values += node.outputs
        modified = False
        for value in values:
            if value.shape is None or value.shape.frozen:
                continue
            for axis, size in enumerate(value.shape):
                if not isinstance(size, int) and str(size) in batch:
                    value.shape[axis] = "N"
                    modified = True
        return ir.passes.PassResult(model, modified)
