"""onnxsim for what is not ours: dead ends, no-op casts, pads and transposes, duplicate subexpressions."""

from __future__ import annotations

import hashlib
import inspect
import logging
from typing import Any

import onnx_ir as ir

from bnexport.passes.graphs.naming import KIND, MODULE, ORIGIN

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
        import onnxsim

        if weight_bytes(model) > LARGEST_BYTES:
            return ir.passes.PassResult(model.clone(), False)
        before = model.graph.num_nodes()
        options: dict[str, Any] = {"skip_fuse_bn": True, "skipped_optimizers": SKIPPED}
        if "initializers_as_constants" in inspect.signature(onnxsim.simplify).parameters:
            options["initializers_as_constants"] = False  # else it moves x * c into a Conv, wrongly
        try:
            proto, _ = onnxsim.simplify(ir.to_proto(model), **options)
        except (
            RuntimeError,
            ValueError,
        ) as error:  # what onnxsim's native code raises; it is optional
            logger.info("onnxsim left the model as it is: %s", error)
            return ir.passes.PassResult(model.clone(), False)
        simplified = ir.from_proto(proto)
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
        for node in ir.traversal.RecursiveGraphIterator(model.graph)
        for value in node.outputs
    }
    for node in ir.traversal.RecursiveGraphIterator(simplified.graph):
        found = origins.get(node.outputs[0].name, {})
        node.metadata_props.update({k: v for k, v in found.items() if k in (MODULE, KIND, ORIGIN)})
