"""Which parts of a node can be of half precision, and what keeps a node in float32."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import onnx
import onnx_ir as ir

from bnexport.passes.graphs.graph import is_constant

__all__ = ["TITLES", "Slots", "is_single", "obstacle", "slots"]

TITLES = {ir.DataType.FLOAT16: "float16", ir.DataType.BFLOAT16: "bfloat16"}

# Weights that lose more than this of their norm have numbers too small for the type: rounding alone takes
# 2^-12 of it in float16 and 2^-9 in bfloat16. A single number is an epsilon more often than not, and
# may lose a tenth.
_LOSES = {ir.DataType.FLOAT16: 2.0**-10, ir.DataType.BFLOAT16: 2.0**-7}
_LOSES_ALONE = 0.1

# They read no numbers that could be of half precision, and runtimes rarely make such.
_MAKERS = ("RandomNormal", "RandomUniform", "BlackmanWindow", "HammingWindow", "HannWindow")

_WHOLE = (ir.DataType.INT32, ir.DataType.INT64, ir.DataType.UINT32, ir.DataType.UINT64)


@dataclass(frozen=True)
class Slots:
    """The float32 inputs and outputs of a node that may be of half precision, by their places."""

    inputs: frozenset[int]
    outputs: frozenset[int]


def is_single(value: ir.Value | None) -> bool:
    """Whether the value is a float32 tensor."""
    if value is None or value.dtype != ir.DataType.FLOAT:
        return False
    return value.type is None or isinstance(value.type, ir.TensorType)


def obstacle(node: ir.Node, dtype: ir.DataType) -> str:
    """Why the node cannot, or had better not, compute in half precision; empty where nothing is in the way."""
    if node.domain:
        return f"{node.domain} is not ONNX's own"
    if node.op_type == "BatchNormalization":
        return "a BatchNorm that could not be folded"
    if not all(map(_is_tensor, (*node.inputs, *node.outputs))):
        return "it is of a sequence, or of what may be absent"
    if any(a.type in _GRAPHS for a in node.attributes.values()):
        return "it has a subgraph"
    if node.op_type in _MAKERS:
        return "it reads nothing that is of half precision"
    if node.op_type == "Cast" and node.inputs[0] is not None and node.inputs[0].dtype in _WHOLE:
        return "it makes numbers of counts, which half precision rounds"
    for index in sorted(slots(node, dtype).inputs):
        if sentence := _lost(node.inputs[index], dtype):
            return sentence
    return ""


_GRAPHS = (ir.AttributeType.GRAPH, ir.AttributeType.GRAPHS)
# The mean and the deviation that a LayerNormalization gives are float32 whatever it normalises.
_STASHED = {"LayerNormalization": {1, 2}}


def _is_tensor(value: ir.Value | None) -> bool:
    return value is None or value.type is None or isinstance(value.type, ir.TensorType)


def slots(node: ir.Node, dtype: ir.DataType) -> Slots:
    """What ONNX lets be of this type. A Resize's scales, for one, are float32 always."""
    schema = _schema(node)
    if schema is None:
        return Slots(frozenset(), frozenset())
    free = {
        each.type_param_str
        for each in schema.type_constraints
        if f"tensor({TITLES[dtype]})" in each.allowed_type_strs
    }
    outputs = _free(node.outputs, schema.outputs, free) - _STASHED.get(node.op_type, set())
    return Slots(_free(node.inputs, schema.inputs, free), outputs)


def _free(
    values: Sequence[ir.Value | None],
    formal: Sequence[onnx.defs.OpSchema.FormalParameter],
    free: set[str],
) -> frozenset[int]:
    kinds = _kinds(formal, len(values))
    return frozenset(
        index
        for index, (value, kind) in enumerate(zip(values, kinds, strict=False))
        if is_single(value) and kind in free
    )


def _kinds(formal: Sequence[onnx.defs.OpSchema.FormalParameter], count: int) -> Iterator[str]:
    """The type of each place: the last formal one may stand for many."""
    for index in range(count):
        yield formal[min(index, len(formal) - 1)].type_str


def _schema(node: ir.Node) -> onnx.defs.OpSchema | None:
    version = node.version
    if version is None and node.graph is not None:
        version = node.graph.opset_imports.get(node.domain)
    try:
        return onnx.defs.get_schema(node.op_type, version or onnx.defs.onnx_opset_version(), "")
    except onnx.defs.SchemaError:
        return None


def _lost(value: ir.Value | None, dtype: ir.DataType) -> str:
    """What half precision would do to a constant, where that is more than rounding."""
    if value is None or not is_constant(value) or value.const_value is None:
        return ""
    exact = value.const_value.numpy()
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        gap = exact.astype(dtype.numpy()).astype(np.float64) - exact
        gap = np.where(np.isfinite(exact), gap, 0.0)
    largest = float(
        np.abs(exact, where=np.isfinite(exact), out=np.zeros_like(exact)).max(initial=0)
    )
    if not np.isfinite(gap).all():
        return f"a constant of it reaches {largest:.1e}, which {TITLES[dtype]} has not"
    share = _LOSES[dtype] if exact.size > 1 else _LOSES_ALONE
    if np.linalg.norm(gap) > share * np.linalg.norm(exact[np.isfinite(exact)]):
        return f"a constant of it is at most {largest:.1e}: too small for {TITLES[dtype]}"
    return ""
