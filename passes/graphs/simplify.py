"""onnxsim for what is not ours: dead ends, no-op casts, pads and transposes, duplicate subexpressions."""

from __future__ import annotations

import hashlib
import logging

import onnx
import onnx_ir as ir

from bnexport.isolation.native import simplify
from bnexport.metadata import KIND, MODULE, ORIGIN
from bnexport.passes.graphs.traverse import every_node

__all__ = ["Simplify"]

logger = logging.getLogger(__name__)

# onnxsim keeps the model several times in memory and serialises it whole.
LARGEST_BYTES = 1 << 30

# Its own BatchNorm fusion has no ledger, and three of its optimisers change results in silence:
# eliminate_nop_with_unit drops x * 1 that broadcasts; fuse_pad_into_pool turns zeros into -inf; fuse_qkv
# rounds again.
SKIPPED = ["fuse_bn_into_conv", "eliminate_nop_with_unit", "fuse_pad_into_pool", "fuse_qkv"]


class Simplify(ir.passes.FunctionalPass):
    """Run onnxsim; a model of more than 1 GiB is left as it is."""

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Return the simplified model, with the nodes' origins kept."""
        if weight_bytes(model) > LARGEST_BYTES:
            return ir.passes.PassResult(model.clone(), False)
        before = model.graph.num_nodes()
        made = simplify(ir.to_proto(model).SerializeToString(), SKIPPED)
        if isinstance(made, str):
            logger.info("onnxsim left the model as it is: %s", made)
            return ir.passes.PassResult(model.clone(), False)
        simplified = ir.from_proto(onnx.load_model_from_string(made))
        if _inputs(simplified) != _inputs(model):  # it freezes an input that has a default
            return ir.passes.PassResult(model.clone(), False)
        if not _weights(simplified) <= _weights(
            model
        ):  # an older release, which has no such switch
            return ir.passes.PassResult(model.clone(), False)
        simplified.metadata_props.clear()  # onnxsim's diary
        simplified.metadata_props.update(model.metadata_props)
        _restore_origins(simplified, model)
        return ir.passes.PassResult(simplified, simplified.graph.num_nodes() != before)


def _inputs(model: ir.Model) -> list[str | None]:
    return [value.name for value in model.graph.inputs]


def _weights(model: ir.Model) -> set[tuple[object, ...]]:
    """The floating-point constants, by their contents: onnxsim may drop some and must make none."""
    return {
        (tensor.dtype, *tensor.shape, hashlib.sha256(tensor.tobytes()).digest())
        for value in model.graph.initializers.values()
        if (tensor := value.const_value) is not None and tensor.dtype.is_floating_point()
    }


def weight_bytes(model: ir.Model) -> int:
    """What the initializers take."""
    tensors = (value.const_value for value in model.graph.initializers.values())
    return sum(tensor.nbytes for tensor in tensors if tensor is not None)


def _restore_origins(simplified: ir.Model, model: ir.Model) -> None:
    """Onnxsim drops metadata: find each node again by the name of what it computes."""
    origins = {
        value.name: node.metadata_props
        for node in every_node(model.graph)
        for value in node.outputs
    }
    for node in every_node(simplified.graph):
        found = origins.get(node.outputs[0].name, {})
        node.metadata_props.update({k: v for k, v in found.items() if k in (MODULE, KIND, ORIGIN)})
