"""A row of the table, and one call that is being translated by it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import onnx_ir as ir
import torch

from bnexport.capture.tape.kinds import DTYPES, Number, Sizes
from bnexport.capture.tape.sizes import Size, Unsure
from bnexport.capture.tape.tape import Call, Ref

if TYPE_CHECKING:
    from bnexport.capture.tape.emitter import Emitter

__all__ = ["Row", "Site"]


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
