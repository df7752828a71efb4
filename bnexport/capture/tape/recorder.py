"""Record the torch functions that a module calls while it runs, at two batch sizes.

The first run tells the shapes. In the second, a size that differs from the first is a `Size`, so that Python cannot
branch on it unseen; its calls must be those of the first. What is computed from weights and constants alone is no part
of the recording: its result is a constant.

A tensor is known by the call that made it, and by its version counter: one that was written to through a view, or by
code that torch does not tell of, is not what was recorded, and ends the recording.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from bnexport.capture.tape.names import READ, canonical, opened
from bnexport.capture.tape.sizes import Size, Unsure, doubts, known, size_between
from bnexport.capture.tape.stand_ins import is_numberless, stand_in
from bnexport.capture.tape.surroundings import scripts_refused, tensors_of
from bnexport.capture.tape.tape import Call, Ref, Tape, has_size, leaves, refs_in, same
from bnexport.passes.modules import random_state

__all__ = ["record"]

_MARK = "_bnexport_tape"


def record(
    module: nn.Module,
    inputs: Sequence[Tensor],
    batch: int,
    leaves: Collection[str],
    witness: Tape | None = None,
    *,
    stood: list[weakref.ref[Tensor]] | None = None,
) -> Tape:
    """Run ``module`` and record it.

    Args:
        module: In eval mode; takes positional tensors and returns a tuple of tensors.
        inputs: One batch.
        batch: How many samples that is.
        leaves: The functions to record as they are; others that are written in Python are looked into.
        witness: The recording of another batch size: with it, what differs is seen.
        stood: Given where the shapes alone are asked for: convolutions give zeros, and what comes of them is put there.

    Raises:
        Unsure: It cannot be told what the module does at other batch sizes or on other values.
    """
    recorder = _Recorder(module, batch, leaves, witness, stood)
    before = random_state()
    with torch.no_grad(), recorder.naming(module):
        tape = recorder.run(module, inputs)
    if random_state() != before:
        raise Unsure("it draws random numbers")
    recorder.check_unwritten()
    return tape


class _Recorder(TorchFunctionMode):
    def __init__(
        self,
        module: nn.Module,
        batch: int,
        leaves: Collection[str],
        witness: Tape | None,
        stood: list[weakref.ref[Tensor]] | None,
    ) -> None:
        super().__init__()
        self._stood = stood
        self._numberless: set[int] = set()
        self._leaves = leaves
        self._opening: list[str] = []
        self._failed = ""
        # Not the tape itself: a tensor that outlives the recording would keep all its constants.
        self._token = object()
        self._tape = Tape(batch, self._token)
        self._witness = witness
        self._count = 0
        self._held: dict[int, tuple[Tensor, str]] = {}
        self._numbers: dict[int, int] = {}
        self._versions: dict[int, int] = {}
        self._kept: dict[int, int] = {}
        self._stack: list[tuple[str, str]] = [("", "")]
        self._hold(module)

    # What the module holds may be read in any order; it is a constant as long as nobody writes to it.
    def _hold(self, module: nn.Module) -> None:
        for name, layer in module.named_modules():
            if isinstance(layer, torch.jit.ScriptModule):
                raise Unsure(f"{name.removeprefix('model.')} was compiled by TorchScript")
            for key, tensor in tensors_of(layer):
                mark = tensor.__dict__.get(_MARK)
                ours = (
                    self._witness is not None
                    and mark is not None
                    and mark[0] is self._witness.token
                )
                if not ours and id(tensor) not in self._held:
                    path = f"{name}.{key}".removeprefix("model.").removeprefix(".")
                    self._held[id(tensor)] = (tensor, path)
                    self._versions[id(tensor)] = tensor._version

    def check_unwritten(self) -> None:
        """Raise Unsure where the forward pass wrote to what the module holds, or to another constant."""
        for tensor, name in self._held.values():
            if tensor._version != self._versions[id(tensor)]:
                raise Unsure(f"its forward writes to {name}")
        for number, version in self._kept.items():
            if self._tape.constants[number]._version != version:
                raise Unsure("it writes to a constant")

    @contextmanager
    def naming(self, module: nn.Module) -> Iterator[None]:
        """Know for each call which module made it."""
        names = {
            id(each): name.removeprefix("model").removeprefix(".")
            for name, each in module.named_modules()
        }
        hooks = nn.modules.module

        def enter(layer: nn.Module, args: object) -> None:
            if id(layer) in names:
                self._stack.append((names[id(layer)], type(layer).__name__))

        def leave(layer: nn.Module, args: object, output: object) -> None:
            if id(layer) in names and len(self._stack) > 1:
                self._stack.pop()

        handles = [
            hooks.register_module_forward_pre_hook(enter),
            hooks.register_module_forward_hook(leave, always_call=True),
        ]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def run(self, module: nn.Module, inputs: Sequence[Tensor]) -> Tape:
        given = [tensor.detach().clone() for tensor in inputs]  # its forward may write to them
        self._tape.inputs = tuple(self._enter(tensor) for tensor in given)
        with self, doubts() as doubted, scripts_refused():
            results = module(*given)
        if self._failed or doubted:
            raise Unsure(self._failed or doubted[0])
        self._tape.outputs = tuple(self._output(tensor) for tensor in results)
        self._tape.results = tuple(results)
        if self._witness and len(self._tape.calls) != len(self._witness.calls):
            raise Unsure("its control flow depends on the batch")
        return self._tape

    def _output(self, tensor: Tensor) -> Ref:
        ref = self._ref(tensor)
        assert ref is not None
        return ref

    def __torch_function__(
        self,
        function: Callable[..., Any],
        types_: object,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        name = canonical(function)
        if name == "data":
            raise Unsure("it takes .data, past which what is written is not seen")
        if name in READ:
            return self._read(name, function, args, kwargs)
        if torch.is_autocast_enabled("cpu") or torch.is_autocast_enabled("cuda"):
            raise Unsure("it sets autocast inside")
        body = None if name in self._leaves or name in self._opening else opened(function)
        if body is not None:
            self._opening.append(name)
            try:
                with self:
                    return body(*args, **kwargs)
            finally:
                self._opening.pop()
        return self._call(name, function, args, kwargs)

    def _read(
        self, name: str, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """What is asked of a tensor that is not its numbers."""
        result = function(*known(args), **kwargs)
        tensor = args[0]
        if isinstance(result, torch.Size):
            return torch.Size(self._sizes(tensor))
        if name == "size":
            axis = args[1] if len(args) > 1 else kwargs["dim"]
            return self._sizes(tensor)[axis]
        if name in ("numel", "nelement", "__len__"):
            sizes = self._sizes(tensor)
            total: Any = 1
            for size in sizes if name != "__len__" else sizes[:1]:
                total = size * total
            if name == "__len__" and isinstance(total, Size):
                raise Unsure("Python code reads the batch size as a number")
            return total
        if isinstance(result, Tensor):
            return self._call(name, function, args, kwargs)
        return result

    def _sizes(self, tensor: Tensor) -> list[Any]:
        ref = self._ref(tensor)
        if ref is None or ref.number in self._tape.constants:
            return list(tensor.shape)
        return list(self._tape.shapes[ref.number])

    def _call(
        self, name: str, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        tensors = list(leaves((args, kwargs)))
        if tensors and _writes(function) and id(tensors[0]) in self._held:
            raise Unsure(f"its forward writes to {self._held[id(tensors[0])][1]}")
        if name == "getitem" and isinstance(args[1], list):
            raise Unsure("an index that is a list")
        taken = self._encode(args), {key: self._encode(value) for key, value in kwargs.items()}
        if sum(1 for _ in refs_in(taken)) != len(tensors):
            raise Unsure(f"{name} is given tensors in a container of its own kind")
        versions = [tensor._version for tensor in tensors]
        constant = all(map(self._is_constant, refs_in(taken))) and not has_size(taken)
        zeros = self._stood is not None and not is_numberless(name, taken, self._numberless)
        try:
            result = stand_in(name, function, args, kwargs) if zeros else None
            if result is None:
                result = function(
                    *known(args), **{key: known(value) for key, value in kwargs.items()}
                )
        except Exception as error:
            self._failed = f"{name} fails ({type(error).__name__}), and it goes on"
            raise
        if _is_free(result, tensors, taken):
            return result
        written = [t for t, version in zip(tensors, versions, strict=True) if t._version != version]
        made = _results(result, name)
        if name == "__setitem__":
            raise Unsure("it writes into a part of a tensor")
        if any(all(each is not tensor for each in made) for tensor in written):
            raise Unsure(f"{name} writes to what it is given")
        if any(id(tensor) in self._held for tensor in written):
            raise Unsure(f"its forward writes to {self._held[id(written[0])][1]}")
        fresh = [
            each
            for each in made
            if all(each is not t for t in tensors) or any(each is t for t in written)
        ]
        if not fresh:
            return result  # it gave back what it was given
        if len(fresh) != len(made):
            raise Unsure(f"{name} gives back one of its arguments among other results")
        refs = tuple(self._enter(tensor, constant) for tensor in made)
        if self._stood is not None and zeros:
            self._stood += map(weakref.ref, made)
        else:
            self._numberless.update(ref.number for ref in refs)
        module, kind = self._stack[-1]
        self._tape.calls.append(Call(name, *taken, refs, module, kind))
        self._compare()
        return result

    def _compare(self) -> None:
        """The call just made must be the witness's."""
        if self._witness is None:
            return
        index = len(self._tape.calls) - 1
        if index >= len(self._witness.calls):
            raise Unsure("its control flow depends on the batch")
        here, there = self._tape.calls[index], self._witness.calls[index]
        if (here.name, here.outputs) != (there.name, there.outputs) or not same(
            (here.args, here.kwargs), (there.args, there.kwargs), self._witness.batch
        ):
            raise Unsure("its control flow depends on the batch")

    def _is_constant(self, ref: Ref) -> bool:
        return ref.number in self._tape.constants

    def _encode(self, value: Any) -> Any:
        if isinstance(value, Tensor):
            return self._ref(value)
        if isinstance(value, torch.Size):
            return tuple(value)
        if isinstance(value, slice):
            return slice(*(self._encode(each) for each in (value.start, value.stop, value.step)))
        if isinstance(value, list | tuple):
            return tuple(self._encode(each) for each in value)
        if type(value) is dict:
            return {key: self._encode(each) for key, each in value.items()}
        if isinstance(value, np.ndarray | np.generic):
            raise Unsure("it mixes NumPy arrays in")
        return value

    def _ref(self, tensor: Tensor) -> Ref:
        mark = tensor.__dict__.get(_MARK)
        if mark is not None and mark[0] is self._token:
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
            self._numbers[id(tensor)] = self._next()
            self._tape.constants[self._count] = tensor.detach()
            self._tape.names[self._count] = name
            self._numberless.add(self._count)
            self._check_constant(self._count, tensor)
        return Ref(self._numbers[id(tensor)])

    def _next(self) -> int:
        self._count += 1
        return self._count

    def _mark(self, tensor: Tensor) -> int:
        if type(tensor) not in (Tensor, nn.Parameter):
            raise Unsure(f"it makes a {type(tensor).__name__}")
        number = self._next()
        tensor.__dict__[_MARK] = (self._token, number, tensor._version)
        return number

    def _check_constant(self, number: int, tensor: Tensor) -> None:
        if self._witness is None:
            return
        other = self._witness.constants.get(number)
        if other is None or other.shape != tensor.shape or not _equal(other, tensor):
            raise Unsure("a constant changes between two runs")

    def _enter(self, tensor: Tensor, constant: bool = False) -> Ref:
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


def _results(result: Any, name: str) -> list[Tensor]:
    if isinstance(result, Tensor):
        return [result]
    if isinstance(result, list | tuple) and result and all(isinstance(r, Tensor) for r in result):
        return list(result)
    if result is None and name == "__setitem__":
        return []
    raise Unsure(f"Python code reads numbers out of a tensor ({name})")


def _is_free(result: Any, tensors: Sequence[Tensor], taken: Any) -> bool:
    """Whether the call has nothing to do with tensors or the batch: a check of types, say."""
    return not tensors and not isinstance(result, Tensor | list | tuple) and not has_size(taken)


def _equal(a: Tensor, b: Tensor) -> bool:
    if a.data_ptr() == b.data_ptr() and a.stride() == b.stride():
        return a.dtype == b.dtype
    return a.dtype == b.dtype and bool(
        torch.equal(a, b) or torch.allclose(a, b, 0, 0, equal_nan=True)
    )


def _writes(function: Callable[..., Any]) -> bool:
    """Whether it is of those that write to their first argument: ``add_``, ``x[...] = y``."""
    name = getattr(function, "__name__", "")
    return name == "__setitem__" or (name.endswith("_") and not name.endswith("__"))
