"""Where a tensor of a recording comes from: from the inputs, from a call, or from what the module holds.

A tensor is known by the call that made it, and by its version counter: one that was written to through a view, or by
code that torch does not tell of, is not what was recorded, and ends the recording.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from bnexport.capture.tape.sizes import Unsure, size_between
from bnexport.capture.tape.surroundings import tensors_of
from bnexport.capture.tape.tape import Ref, Tape

__all__ = ["Origins"]

_MARK = "_bnexport_tape"


class Origins:
    """The tensors of one recording, by number.

    Args:
        module: What it holds may be read in any order; it is a constant as long as nobody writes to it.
        tape: Is given every tensor's shape and type, and the constants.
        witness: The recording of another batch size.

    Raises:
        Unsure: A part of the module was compiled.
    """

    def __init__(self, module: nn.Module, tape: Tape, witness: Tape | None) -> None:
        self._tape, self._witness = tape, witness
        self._count = 0
        self._held: dict[int, tuple[Tensor, str]] = {}
        self._numbers: dict[int, int] = {}
        self._versions: dict[int, int] = {}
        self._kept: dict[int, int] = {}
        for name, layer in module.named_modules():
            if isinstance(layer, torch.jit.ScriptModule):
                raise Unsure(f"{name.removeprefix('model.')} was compiled by TorchScript")
            for key, tensor in tensors_of(layer):
                self._hold(tensor, f"{name}.{key}".removeprefix("model.").removeprefix("."))

    def _hold(self, tensor: Tensor, path: str) -> None:
        mark = tensor.__dict__.get(_MARK)
        # What the first run left in the module was computed.
        computed = mark is not None and self._witness is not None and mark[0] is self._witness.token
        if not computed and id(tensor) not in self._held:
            self._held[id(tensor)] = (tensor, path)
            self._versions[id(tensor)] = tensor._version

    def check_not_held(self, tensor: Tensor) -> None:
        """Raise Unsure where the module holds it: it is written to."""
        if id(tensor) in self._held:
            raise Unsure(f"its forward writes to {self._held[id(tensor)][1]}")

    def check_unwritten(self) -> None:
        """Raise Unsure where the forward pass wrote to what the module holds, or to another constant."""
        for tensor, name in self._held.values():
            if tensor._version != self._versions[id(tensor)]:
                raise Unsure(f"its forward writes to {name}")
        for number, version in self._kept.items():
            if self._tape.constants[number]._version != version:
                raise Unsure("it writes to a constant")

    def is_constant(self, ref: Ref) -> bool:
        """Whether it depends on weights and constants alone."""
        return ref.number in self._tape.constants

    def sizes(self, tensor: Tensor) -> list[Any]:
        """Its shape, with a `Size` where that depends on the batch."""
        ref = self.ref(tensor)
        return list(tensor.shape if self.is_constant(ref) else self._tape.shapes[ref.number])

    def encode(self, value: Any) -> Any:
        """An argument, with a `Ref` for each tensor."""
        if isinstance(value, Tensor):
            return self.ref(value)
        if isinstance(value, torch.Size):
            return tuple(value)
        if isinstance(value, slice):
            return slice(*(self.encode(each) for each in (value.start, value.stop, value.step)))
        if isinstance(value, list | tuple):
            return tuple(self.encode(each) for each in value)
        if type(value) is dict:
            return {key: self.encode(each) for key, each in value.items()}
        if isinstance(value, np.ndarray | np.generic):
            raise Unsure("it mixes NumPy arrays in")
        return value

    def ref(self, tensor: Tensor) -> Ref:
        """The tensor's number; one that the module holds gets it here.

        Raises:
            Unsure: It was written to, or comes from nowhere.
        """
        mark = tensor.__dict__.get(_MARK)
        if mark is not None and mark[0] is self._tape.token:
            _, number, version = mark
            if tensor._version != version:
                raise Unsure("it reads a tensor that was written to through a view")
            return Ref(number)
        if id(tensor) not in self._held:
            raise Unsure("it uses a tensor that torch does not tell the origin of")
        if id(tensor) not in self._numbers:
            held, name = self._held[id(tensor)]
            if held._version != self._versions[id(tensor)]:
                raise Unsure(f"its forward writes to {name}")
            number = self._numbers[id(tensor)] = self._next()
            self._tape.constants[number] = tensor.detach()
            self._tape.names[number] = name
            self._check_constant(number, tensor)
        return Ref(self._numbers[id(tensor)])

    def enter(self, tensor: Tensor, constant: bool = False) -> Ref:
        """Know a tensor that was made just now, an input or the result of a call.

        Raises:
            Unsure: It is of a kind that is not recorded, or not what the witness made.
        """
        number = self._mark(tensor)
        if tensor.layout is not torch.strided or tensor.is_complex() or tensor.is_quantized:
            raise Unsure("it has complex, sparse or quantised tensors")
        shape: tuple[Any, ...] = tuple(tensor.shape)
        self._tape.dtypes[number] = tensor.dtype
        if constant:
            self._tape.constants[number] = tensor.detach()
            self._kept[number] = tensor._version
            self._check_constant(number, tensor)
        elif self._witness is not None:
            other = self._witness.shapes.get(number)
            if other is None or len(other) != len(shape):
                raise Unsure("its control flow depends on the batch")
            pair = (self._witness.batch, self._tape.batch)
            shape = tuple(size_between(a, b, pair) for a, b in zip(other, shape, strict=True))
        self._tape.shapes[number] = shape
        return Ref(number)

    def _mark(self, tensor: Tensor) -> int:
        if type(tensor) not in (Tensor, nn.Parameter):
            raise Unsure(f"it makes a {type(tensor).__name__}")
        number = self._next()
        # Not the tape itself: a tensor that outlives the recording would keep all its constants.
        tensor.__dict__[_MARK] = (self._tape.token, number, tensor._version)
        return number

    def _next(self) -> int:
        self._count += 1
        return self._count

    def _check_constant(self, number: int, tensor: Tensor) -> None:
        if self._witness is None:
            return
        other = self._witness.constants.get(number)
        if other is None or other.shape != tensor.shape or not _equal(other, tensor):
            raise Unsure("a constant changes between two runs")


def _equal(a: Tensor, b: Tensor) -> bool:
    if a.data_ptr() == b.data_ptr() and a.stride() == b.stride():
        return a.dtype == b.dtype
    return a.dtype == b.dtype and bool(
        torch.equal(a, b) or torch.allclose(a, b, 0, 0, equal_nan=True)
    )
