"""What translations are written in: the graph that grows, and one call of the tape to be put into it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import onnx_ir as ir
import torch

from bnexport.capture.tape.recorder import Call, Ref, Tape
from bnexport.capture.tape.sizes import Size, Unsure
from bnexport.metadata import KIND, MODULE

__all__ = ["DTYPES", "Emitter", "Row", "Site", "Sizes"]

Sizes = tuple[Any, ...]
Number = int | float | bool

DTYPES = {
    torch.float32: ir.DataType.FLOAT,
    torch.float64: ir.DataType.DOUBLE,
    torch.float16: ir.DataType.FLOAT16,
    torch.bfloat16: ir.DataType.BFLOAT16,
    torch.int64: ir.DataType.INT64,
    torch.int32: ir.DataType.INT32,
    torch.int16: ir.DataType.INT16,
    torch.int8: ir.DataType.INT8,
    torch.uint8: ir.DataType.UINT8,
    torch.bool: ir.DataType.BOOL,
}


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


class Row:
    """How calls of one function are translated.

    Args:
        signature: Its parameters, ``name`` or ``name=default``; the last may be ``*name``.
        emit: Puts the call into the graph and returns its results.
    """

    def __init__(
        self, signature: str, emit: Callable[[Site], ir.Value | Sequence[ir.Value]]
    ) -> None:
        self.emit = emit
        self._names: list[str] = []
        self._defaults: dict[str, Any] = {}
        self._rest = ""
        for word in signature.split():
            if word.startswith("*"):
                self._rest = word[1:]
                continue
            name, has_default, default = word.partition("=")
            self._names.append(name)
            if has_default:
                self._defaults[name] = _default(default)

    def bind(self, call: Call) -> dict[str, Any]:
        """The arguments by name."""
        args = list(call.args)
        bound = dict(self._defaults)
        if len(args) > len(self._names) and not self._rest:
            raise Unsure(f"{call.name} is called with more arguments than are known")
        bound.update(zip(self._names, args, strict=False))
        if self._rest:
            rest = args[len(self._names) :]
            bound[self._rest] = (
                rest[0] if len(rest) == 1 and isinstance(rest[0], tuple) else tuple(rest)
            )
        for key, value in call.kwargs.items():
            key = _KEYWORDS.get(key, key)
            if key in _IGNORED:
                continue
            if key == self._rest:
                bound[key] = value if isinstance(value, tuple) else (value,)
            elif key in self._names:
                bound[key] = value
            elif value is not None:
                raise Unsure(f"{call.name} is called with {key}=")
        missing = [name for name in self._names if name not in bound]
        if missing:
            raise Unsure(f"{call.name} is called without {missing[0]}=")
        return bound


# What changes where a result lies or how it is recorded, and not what it is.
_IGNORED = frozenset(
    {
        "inplace",
        "memory_format",
        "device",
        "non_blocking",
        "copy",
        "requires_grad",
        "pin_memory",
        "layout",
        "_stacklevel",
        "generator",
    }
)
_KEYWORDS = {"axis": "dim", "axes": "dim", "x1": "input", "self": "input", "tensor": "input"}


def _default(text: str) -> Any:
    words: dict[str, Any] = {"None": None, "True": True, "False": False}
    if text in words:
        return words[text]
    try:
        return int(text)
    except ValueError:
        pass
    try:
        return float(text)
    except ValueError:
        return text


class Site:
    """A call that is being translated.

    Attributes:
        e: The emitter.
        call: The call.
        arguments: By name.
    """

    def __init__(self, e: Emitter, call: Call, arguments: dict[str, Any]) -> None:
        self.e, self.call, self.arguments = e, call, arguments

    def __getitem__(self, name: str) -> Any:
        return self.arguments[name]

    @property
    def out_shape(self) -> Sizes:
        """The sizes of the first result."""
        return self.e.shape(self.call.outputs[0])

    @property
    def out_type(self) -> ir.DataType:
        """The type of the first result."""
        return DTYPES[self.e.dtype(self.call.outputs[0])]

    def ref(self, name: str = "input") -> Ref:
        """A tensor argument."""
        ref = self.arguments[name]
        if not isinstance(ref, Ref):
            raise Unsure(f"{self.call.name}: {name} is no tensor")
        return ref

    def value(self, name: str = "input") -> ir.Value:
        """The value of a tensor argument."""
        return self.e.value(self.ref(name))

    def optional(self, name: str) -> ir.Value | None:
        """The value of a tensor argument that may be None."""
        return None if self.arguments[name] is None else self.value(name)

    def shape(self, name: str = "input") -> Sizes:
        """The sizes of a tensor argument."""
        return self.e.shape(self.ref(name))

    def rank(self, name: str = "input") -> int:
        """The number of axes of a tensor argument."""
        return len(self.shape(name))

    def dtype(self, name: str = "input") -> ir.DataType:
        """The type of a tensor argument."""
        return DTYPES[self.e.dtype(self.ref(name))]

    def constant(self, name: str) -> torch.Tensor | None:
        """A tensor argument that is a constant; None where it is not, or is not given."""
        ref = self.arguments[name]
        return self.e.tape.constants.get(ref.number) if isinstance(ref, Ref) else None

    def plain(self, name: str) -> Any:
        """An argument that is no tensor and does not depend on the batch."""
        return self.check_plain(self.arguments[name], name)

    def check_plain(self, value: Any, name: str = "") -> Any:
        """``value``, if it is no tensor and does not depend on the batch."""
        if isinstance(value, Ref):
            raise Unsure(f"{self.call.name}: {name} is a tensor")
        if isinstance(value, Size):
            raise Unsure(f"{self.call.name}: {name} depends on the batch size")
        if isinstance(value, tuple):
            return tuple(self.check_plain(each, name) for each in value)
        return value

    def axis(self, name: str = "dim", rank: int | None = None) -> int:
        """An axis, counted from the front."""
        axis = self.plain(name)
        rank = self.rank() if rank is None else rank
        if type(axis) is not int:
            raise Unsure(f"{self.call.name}: {name} is {axis!r}")
        return axis % max(rank, 1)

    def axes(self, name: str = "dim") -> tuple[int, ...]:
        """Axes, counted from the front; all of them where none is named."""
        given = self.plain(name)
        if given is None or given == ():
            return tuple(range(self.rank()))
        listed = given if isinstance(given, tuple) else (given,)
        return tuple(axis % max(self.rank(), 1) for axis in listed)

    def apart(self, *axes: int, name: str = "input") -> None:
        """Raise where one of the axes is the batch's: the call then computes over samples."""
        sizes = self.shape(name)
        for axis in axes:
            if isinstance(sizes[axis], Size):
                raise Unsure(f"{self.call.name} works along the batch")

    def several(self, name: str, count: int) -> list[int]:
        """One number for each of ``count`` axes; one given stands for all."""
        given = self.plain(name)
        listed = list(given) if isinstance(given, tuple) else [given]
        if len(listed) == 1:
            listed *= count
        if len(listed) != count or any(type(each) is not int for each in listed):
            raise Unsure(f"{self.call.name}: {name} is {given!r}")
        return listed

    def op(
        self,
        operator: str,
        inputs: Sequence[ir.Value | None],
        attributes: Mapping[str, Any] | None = None,
        shape: Sizes | None = None,
        dtype: ir.DataType | None = None,
        count: int = 1,
    ) -> ir.Value:
        """Append a node; of the shape and type of the call's result unless others are given."""
        return self.e.op(
            operator,
            inputs,
            attributes,
            self.out_shape if shape is None else shape,
            self.out_type if dtype is None else dtype,
            count,
        )

    def scalar(self, number: Number, dtype: ir.DataType | None = None) -> ir.Value:
        """A constant without axes."""
        return self.e.shared(number, self.out_type if dtype is None else dtype)

    def integers(self, numbers: Sequence[int]) -> ir.Value:
        """As `Emitter.integers`."""
        return self.e.integers(numbers)

    def cast(self, value: ir.Value, dtype: ir.DataType) -> ir.Value:
        """The value in another type; the same where it has it already."""
        if value.dtype == dtype:
            return value
        shape = tuple(value.shape) if value.shape is not None else None
        made = self.e.op("Cast", [value], {"to": int(dtype)}, None, dtype)
        made.shape = ir.Shape(shape) if shape is not None else None
        return made

    def operand(self, name: str, dtype: ir.DataType) -> ir.Value:
        """A tensor or number argument, in the given type."""
        given = self.arguments[name]
        if isinstance(given, Ref):
            return self.cast(self.e.value(given), dtype)
        number = self.plain(name)
        if not isinstance(number, int | float):
            raise Unsure(f"{self.call.name}: {name} is {number!r}")
        return self.scalar(number, dtype)


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


def elements(sizes: Sizes) -> int:
    """The product of the sizes that are fixed."""
    return math.prod(size for size in sizes if not isinstance(size, Size))
