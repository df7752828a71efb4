"""A half-precision file with every value rounded as its types say: what a device computes that adds up in float32.

ONNX Runtime has few half-precision kernels on a processor. It computes in float32 and drops the casts
between two operators, so that what overflows on a GPU does not overflow there. Here the graph is written in
float32 with the roundings spelt out, which it keeps.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import onnx_ir as ir

from bnexport.errors import UsageError
from bnexport.parity.onnx_runner import OnnxRunner, precision_of
from bnexport.parity.runner import run_errors
from bnexport.passes.graphs import InferShapes
from bnexport.passes.graphs.half_rules import TITLES
from bnexport.passes.graphs.naming import Names
from bnexport.passes.graphs.simplify import weight_bytes

if TYPE_CHECKING:
    from bnexport.parity.graph_side import GraphSide

__all__ = ["LARGEST_BYTES", "TITLE", "RoundedRunner", "spelt_out"]

TITLE = "ONNX Runtime rounding"
# Of the weights: in float32 they take twice as much, and a protobuf ends at 2 GiB.
LARGEST_BYTES = 900 << 20
_HALVES = {dtype.value for dtype in TITLES}


class RoundedRunner(OnnxRunner):
    """ONNX Runtime on a processor, each half-precision value rounded where it is made.

    Args:
        source: The ONNX file, or its bytes.
        precision: ``float16`` or ``bfloat16``: what to judge it by; None: the type of most weights.
        outputs: As in `OnnxRunner`.
    """

    def __init__(
        self,
        source: Path | bytes,
        *,
        precision: str | None = None,
        outputs: Sequence[str] | None = None,
    ) -> None:
        super().__init__(source, optimise=False, outputs=outputs, title=TITLE, precision=precision)
        self._given = source

    def _open(self) -> Any:
        with run_errors(self._what()):
            self._judged_by = self._judged_by or precision_of(self._source)
            self._source = _rounding(_read(self._given))
        return super()._open()

    def _made(self, graph: GraphSide, value: str) -> str:
        """The roundings are not the file's: the operator before one is."""
        while graph.operator(value) == "Cast" and graph.makers[value].input[0] in graph.makers:
            value = graph.makers[value].input[0]
        return value

    def _what(self) -> str:
        what = "the model" if isinstance(self._given, bytes) else str(self._given)
        return f"{self.name} cannot run {what}"


def _read(source: Path | bytes) -> ir.Model:
    if isinstance(source, bytes):
        return ir.from_proto(onnx.load_model_from_string(source))
    return ir.load(source)


def _rounding(model: ir.Model) -> bytes:
    if weight_bytes(model) > LARGEST_BYTES:
        raise UsageError(
            "a model of more than 900 MiB cannot be rounded value by value",
            "its roundings are spelt out in memory",
            "Leave the runtime `ort-rounded` out",
        )
    content: bytes = ir.to_proto(spelt_out(model)).SerializeToString()
    return content


def spelt_out(model: ir.Model) -> ir.Model:
    """The model in float32, every half-precision value cast there and back where it is made.

    The model is used up. Its inputs and outputs keep their names, and their types but for bfloat16, which NumPy has
    not: those become float32, rounded.
    """
    InferShapes()(model)
    graph, names = model.graph, Names(model.graph)
    half = [value for value in graph.initializers.values() if value.dtype in TITLES]
    for value in half:
        _widen(value)
    for value in graph.inputs:
        if value.dtype in TITLES:
            _read_widened(graph, value, names)
    for node in tuple(graph):
        for value in node.outputs:
            if value.dtype in TITLES:
                _round(graph, value, names)
        _retype(node)
    return model


def _widen(value: ir.Value) -> None:
    tensor = value.const_value
    if tensor is None:
        return
    value.const_value = ir.tensor(tensor.numpy().astype(np.float32), name=value.name)
    value.type = ir.TensorType(ir.DataType.FLOAT)


def _read_widened(graph: ir.Graph, value: ir.Value, names: Names) -> None:
    """Who reads a graph input reads it as float32, rounded."""
    first = next(iter(graph))
    if value.dtype == ir.DataType.BFLOAT16:
        value.type = ir.TensorType(ir.DataType.FLOAT)
        half = _cast(value, ir.DataType.BFLOAT16, names)
        wide = _cast(half.outputs[0], ir.DataType.FLOAT, names)
        graph.insert_before(first, [half, wide])
        _hand_over(value, wide.outputs[0], half)
        return
    wide = _cast(value, ir.DataType.FLOAT, names)
    graph.insert_before(first, wide)
    _hand_over(value, wide.outputs[0], wide)


def _round(graph: ir.Graph, value: ir.Value, names: Names) -> None:
    """``value`` becomes float32; who reads it reads it rounded, and the graph's output is rounded, too."""
    node, dtype = value.producer(), value.dtype
    if node is None or dtype is None:
        return
    value.type = ir.TensorType(ir.DataType.FLOAT)
    half = _cast(value, dtype, names)
    wide = _cast(half.outputs[0], ir.DataType.FLOAT, names)
    graph.insert_after(node, [half, wide])
    _hand_over(value, wide.outputs[0], half)
    rounded = wide.outputs[0] if dtype == ir.DataType.BFLOAT16 else half.outputs[0]
    for index, output in enumerate(graph.outputs):
        if output is value:
            rounded.name, value.name = value.name, names.fresh(f"{value.name}_exact")
            graph.outputs[index] = rounded


def _hand_over(value: ir.Value, other: ir.Value, maker: ir.Node) -> None:
    for use in tuple(value.uses()):
        if use.node is not maker:
            use.node.replace_input_with(use.idx, other)


def _cast(value: ir.Value, dtype: ir.DataType, names: Names) -> ir.Node:
    node = ir.node("Cast", [value], {"to": dtype.value})
    (made,) = node.outputs
    made.name = names.fresh(f"{value.name}_{dtype.name.lower()}")
    made.shape, made.type = value.shape, ir.TensorType(dtype)
    maker = value.producer()
    if maker is not None:
        node.metadata_props.update(maker.metadata_props)
    return node


def _retype(node: ir.Node) -> None:
    """What makes a half by its attribute makes a float32 now, which is rounded behind it."""
    if node.outputs[0].dtype != ir.DataType.FLOAT:
        return
    for name in ("to", "dtype", "output_datatype"):
        given = node.attributes.get(name)
        if given is not None and given.type == ir.AttributeType.INT and given.as_int() in _HALVES:
            node.attributes[name] = ir.AttrInt64(name, ir.DataType.FLOAT.value)
    value = node.attributes.get("value")
    if value is not None and value.type == ir.AttributeType.TENSOR:
        tensor = value.as_tensor()
        if tensor.dtype in TITLES:
            wide = ir.tensor(tensor.numpy().astype(np.float32))
            node.attributes["value"] = ir.AttrTensor("value", wide)
