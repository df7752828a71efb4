"""The graph that grows while a tape is translated."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx_ir as ir
import torch

from bnexport.capture.tape.kinds import DTYPES, Sizes
from bnexport.capture.tape.site import Row, Site
from bnexport.capture.tape.sizes import Size, Unsure
from bnexport.capture.tape.tape import Call, Ref, Tape
from bnexport.metadata import KIND, MODULE

__all__ = ["Emitter", "shape_of"]


class Emitter:
    """The graph of a tape, as far as it is translated.

    Args:
        tape: With sizes that depend on the batch as such.
        opset: The ONNX opset.
        names: Of the inputs.
    """

    def __init__(self, tape: Tape, opset: int, names: Sequence[str]) -> None:
        self.tape, self.opset = tape, opset
        self.graph = ir.Graph([], [], nodes=[], opset_imports={"": opset}, name="main_graph")
        self._values: dict[int, ir.Value] = {}
        self._shared: dict[Any, ir.Value] = {}
        self._taken = set(names)
        self._call: Call | None = None
        self._batch: ir.Value | None = None
        for ref, name in zip(tape.inputs, names, strict=True):
            value = ir.Value(name=name, shape=shape_of(self.shape(ref)), type=self._type(ref))
            self.graph.inputs.append(value)
            self._values[ref.number] = value

    def value(self, ref: Ref) -> ir.Value:
        """The value of a tensor; that of a constant is an initializer."""
        if ref.number not in self._values:
            constant = self.tape.constants[ref.number]
            name = self.tape.names.get(ref.number, "constant")
            self._values[ref.number] = self.initializer(constant, name)
        return self._values[ref.number]

    def bind(self, ref: Ref, value: ir.Value) -> None:
        """Say which value a tensor is."""
        self._values[ref.number] = value

    def shape(self, ref: Ref) -> Sizes:
        """A tensor's sizes; a `Size` where one depends on the batch."""
        constant = self.tape.constants.get(ref.number)
        return tuple(constant.shape) if constant is not None else self.tape.shapes[ref.number]

    def dtype(self, ref: Ref) -> torch.dtype:
        """A tensor's type."""
        constant = self.tape.constants.get(ref.number)
        return constant.dtype if constant is not None else self.tape.dtypes[ref.number]

    def initializer(self, tensor: torch.Tensor, name: str) -> ir.Value:
        """A constant of the graph, over the tensor's own memory."""
        tensor = tensor.detach().cpu()
        dtype = DTYPES[tensor.dtype]
        if dtype == ir.DataType.BFLOAT16:
            data: Any = tensor.contiguous().view(torch.int16).numpy().view(dtype.numpy())
        else:
            data = tensor.contiguous().numpy()
        name = self.fresh(name)
        value = ir.Value(name=name, shape=ir.Shape(data.shape), type=ir.TensorType(dtype))
        value.const_value = ir.Tensor(data, dtype=dtype, name=name)
        self.graph.initializers[name] = value
        return value

    def shared(self, numbers: Any, dtype: ir.DataType) -> ir.Value:
        """A small constant; the same one for the same numbers."""
        data = np.asarray(numbers).astype(dtype.numpy())
        key = dtype, data.shape, data.tobytes()
        if key not in self._shared:
            name = self.fresh(
                "scalar" if not data.ndim else "sizes" if data.dtype.kind == "i" else "numbers"
            )
            value = ir.Value(name=name, shape=ir.Shape(data.shape), type=ir.TensorType(dtype))
            value.const_value = ir.Tensor(data, dtype=dtype, name=name)
            self.graph.initializers[name] = value
            self._shared[key] = value
        return self._shared[key]

    def integers(self, numbers: Sequence[int]) -> ir.Value:
        """A list of whole numbers, as axes and shapes are given."""
        return self.shared(np.asarray(numbers, dtype=np.int64), ir.DataType.INT64)

    def batch(self) -> ir.Value:
        """The batch size, as a list of one."""
        if self._batch is None:
            for ref, value in zip(self.tape.inputs, self.graph.inputs, strict=True):
                sizes = self.shape(ref)
                if sizes and isinstance(sizes[0], Size):
                    shape, dtype = (1,), ir.DataType.INT64
                    made = self.op("Shape", [value], {"start": 0, "end": 1}, shape, dtype)
                    self._batch = made
                    return made
            raise Unsure("no input has a batch axis")
        return self._batch

    def sizes(self, sizes: Sequence[Any]) -> ir.Value:
        """A list of sizes, some of which may depend on the batch."""
        if not any(isinstance(size, Size) for size in sizes):
            return self.integers([int(size) for size in sizes])
        parts = [
            self._multiple(size) if isinstance(size, Size) else self.integers([int(size)])
            for size in sizes
        ]
        if len(parts) == 1:
            return parts[0]
        return self.op("Concat", parts, {"axis": 0}, (len(parts),), ir.DataType.INT64)

    def _multiple(self, size: Size) -> ir.Value:
        value = self.batch()
        for operator, number, neutral in (("Mul", size.scale, 1), ("Add", size.offset, 0)):
            if number != neutral:
                other = self.integers([number])
                value = self.op(operator, [value, other], {}, (1,), ir.DataType.INT64)
        return value

    def op(
        self,
        operator: str,
        inputs: Sequence[ir.Value | None],
        attributes: Mapping[str, Any] | None = None,
        shape: Sizes | None = None,
        dtype: ir.DataType | None = None,
        count: int = 1,
    ) -> ir.Value:
        """Append a node and return its first output; ``node.outputs`` has the others."""
        stem = self._call.name if self._call is not None else operator.lower()
        outputs = [ir.Value(name=self.fresh(stem)) for _ in range(count)]
        told = [_attribute(k, v) for k, v in (attributes or {}).items() if v is not None]
        node = ir.Node("", operator, inputs, told, outputs=outputs, name=outputs[0].name)
        if self._call is not None and self._call.kind:
            node.metadata_props[MODULE] = self._call.module
            node.metadata_props[KIND] = self._call.kind
        self.graph.append(node)
        first = outputs[0]
        if shape is not None:
            first.shape = shape_of(shape)
        if dtype is not None:
            first.type = ir.TensorType(dtype)
        return first

    def fresh(self, wanted: str) -> str:
        """A name that no value bears yet."""
        name, count = wanted, 0
        while name in self._taken:
            count += 1
            name = f"{wanted}_{count}"
            if count > 64:  # many of a kind: no walk over all of them each time
                name = f"{wanted}_{len(self._taken)}"
        self._taken.add(name)
        return name

    def translate(self, call: Call, row: Row) -> None:
        """Put one call into the graph.

        Raises:
            Unsure: The row does not know these arguments.
        """
        self._call = call
        site = Site(self, call, row.bind(call))
        made = row.emit(site)
        values = [made] if isinstance(made, ir.Value) else list(made)
        if len(values) < len(call.outputs):
            raise Unsure(f"{call.name} has more results than are translated")
        for ref, value in zip(call.outputs, values, strict=False):
            if value.producer() is not None:
                value.shape, value.type = shape_of(self.shape(ref)), self._type(ref)
            self._values[ref.number] = value
        self._call = None

    def _type(self, ref: Ref) -> ir.TensorType:
        dtype = self.dtype(ref)
        if dtype not in DTYPES:
            raise Unsure(f"it has tensors of {dtype}")
        return ir.TensorType(DTYPES[dtype])


def _attribute(name: str, value: Any) -> ir.Attr:
    if isinstance(value, str):
        return ir.AttrString(name, value)
    if isinstance(value, float):
        return ir.AttrFloat32(name, value)
    if isinstance(value, int):
        return ir.AttrInt64(name, value)
    return ir.AttrInt64s(name, [int(each) for each in value])


def shape_of(sizes: Sizes) -> ir.Shape:
    """Sizes as ONNX writes them: ``N``, ``4*N``."""
    return ir.Shape([_written(size) for size in sizes])


def _written(size: Any) -> int | str:
    if not isinstance(size, Size):
        return int(size)
    return "N" if size.scale == 1 else f"{size.scale}*N"
