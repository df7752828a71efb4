"""Shapes: the folding rules decide by them, so every value gets what can be inferred."""

from __future__ import annotations

import logging

import onnx
import onnx_ir as ir
import onnx_ir.passes.common as common

from bnexport.isolation import current
from bnexport.isolation.native import infer_shapes
from bnexport.isolation.raised import StepError
from bnexport.passes.graphs.contract import GraphPass
from bnexport.passes.graphs.traverse import every_node

__all__ = ["InferShapes", "NameBatch"]

logger = logging.getLogger(__name__)

_SMALL = 1000  # bytes: as much of a constant goes along, since shapes may be computed from it


class InferShapes(GraphPass):
    """Run ONNX shape inference, unless every value has a shape already."""

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Infer in place."""
        nodes = every_node(model.graph)
        if all(value.shape is not None for node in nodes for value in node.outputs):
            return ir.passes.PassResult(model, False)
        scope = current()
        if scope is not None and scope.foreign:
            return ir.passes.PassResult(model, _infer_apart(model))
        return common.ShapeInferencePass(check_type=False, strict_mode=False)(model)


def _infer_apart(model: ir.Model) -> bool:
    """What the library's own pass does, in the worker: somebody else's graph may crash it."""
    bare = model.clone()
    for name, value in list(bare.graph.initializers.items()):
        tensor = value.const_value
        if tensor is not None and tensor.nbytes > _SMALL:
            value.shape, value.dtype = tensor.shape, tensor.dtype  # type: ignore[assignment]
            value.const_value = None
            del bare.graph.initializers[name]
            if value not in bare.graph.inputs:
                bare.graph.inputs.append(value)
    try:
        inferred = infer_shapes(ir.to_proto(bare).SerializeToString())
    except StepError as error:
        logger.info("shape inference left the model as it is: %s", error)
        return False
    found = ir.from_proto(onnx.load_model_from_string(inferred))
    modified = False
    for graph, other in zip(model.graphs(), found.graphs(), strict=True):
        known = ir.convenience.create_value_mapping(other)
        for name, value in ir.convenience.create_value_mapping(graph).items():
            if name in known:
                modified |= _adopt(value, known[name])
    return modified


def _adopt(value: ir.Value, found: ir.Value) -> bool:
    shape = found.shape is not None and value.shape != found.shape
    dtype = found.dtype is not None and value.dtype != found.dtype
    if shape:
        value.shape = found.shape
    if found.dtype is not None and dtype:
        value.dtype = found.dtype
    return shape or dtype


class NameBatch(GraphPass):
    """Call the free first axis of the inputs ``N`` wherever it occurs."""

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Rename in place."""
        batch = {_symbol(value, 0) for value in model.graph.inputs} - {"", "N"}
        values = [*model.graph.inputs]
        for node in every_node(model.graph):
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
