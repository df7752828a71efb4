"""Record the torch functions that a module calls while it runs, at two batch sizes.

The first run tells the shapes. In the second, a size that differs from the first is a `Size`, so that Python cannot
branch on it unseen; its calls must be those of the first. What is computed from weights and constants alone is no part
of the recording: its result is a constant.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from bnexport.capture.tape.names import READ, canonical, opened
from bnexport.capture.tape.origins import Origins
from bnexport.capture.tape.sizes import Size, Unsure, doubts, known
from bnexport.capture.tape.stand_ins import is_numberless, stand_in
from bnexport.capture.tape.surroundings import scripts_refused
from bnexport.capture.tape.tape import Call, Tape, has_size, leaves, refs_in, same
from bnexport.passes.modules import random_state

__all__ = ["record"]


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
        self._stood, self._leaves, self._witness = stood, leaves, witness
        self._tape = Tape(batch, object())
        self._origins = Origins(module, self._tape, witness)
        self._numberless: set[int] = set()
        self._opening: list[str] = []
        self._failed = ""
        self._stack: list[tuple[str, str]] = [("", "")]

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
        self._tape.inputs = tuple(map(self._origins.enter, given))
        with self, doubts() as doubted, scripts_refused():
            results = module(*given)
        if self._failed or doubted:
            raise Unsure(self._failed or doubted[0])
        self._tape.outputs = tuple(map(self._origins.ref, results))
        self._tape.results = tuple(results)
        if self._witness and len(self._tape.calls) != len(self._witness.calls):
            raise Unsure("its control flow depends on the batch")
        self._origins.check_unwritten()
        return self._tape

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
            return torch.Size(self._origins.sizes(tensor))
        if name == "size":
            axis = args[1] if len(args) > 1 else kwargs["dim"]
            return self._origins.sizes(tensor)[axis]
        if name in ("numel", "nelement", "__len__"):
            sizes = self._origins.sizes(tensor)
            total: Any = 1
            for size in sizes if name != "__len__" else sizes[:1]:
                total = size * total
            if name == "__len__" and isinstance(total, Size):
                raise Unsure("Python code reads the batch size as a number")
            return total
        if isinstance(result, Tensor):
            return self._call(name, function, args, kwargs)
        return result

    def _call(
        self, name: str, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """Make a call and write it down."""
        tensors = list(leaves((args, kwargs)))
        if tensors and _writes(function):
            self._origins.check_not_held(tensors[0])
        taken = self._taken(name, args, kwargs, len(tensors))
        versions = [tensor._version for tensor in tensors]
        zeros = self._stood is not None and not is_numberless(name, taken, self._numberless)
        result = self._computed(name, function, args, kwargs, zeros)
        if _is_free(result, tensors, taken):
            return result
        written = [t for t, version in zip(tensors, versions, strict=True) if t._version != version]
        made = self._made(name, result, tensors, written)
        if not made:
            return result  # it gave back what it was given
        constant = all(map(self._origins.is_constant, refs_in(taken))) and not has_size(taken)
        refs = tuple(self._origins.enter(tensor, constant) for tensor in made)
        if self._stood is not None and zeros:
            self._stood += map(weakref.ref, made)
        else:
            self._numberless.update(ref.number for ref in refs)
        module, kind = self._stack[-1]
        self._tape.calls.append(Call(name, *taken, refs, module, kind))
        self._compare()
        return result

    def _taken(
        self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any], count: int
    ) -> tuple[Any, dict[str, Any]]:
        """The arguments as they are written down, ``count`` tensors among them."""
        if name == "getitem" and isinstance(args[1], list):
            raise Unsure("an index that is a list")
        encode = self._origins.encode
        taken = encode(args), {key: encode(value) for key, value in kwargs.items()}
        refs = list(refs_in(taken))
        if len(refs) != count:
            raise Unsure(f"{name} is given tensors in a container of its own kind")
        self._numberless.update(ref.number for ref in refs if self._origins.is_constant(ref))
        return taken

    def _computed(
        self,
        name: str,
        function: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        zeros: bool,
    ) -> Any:
        """What the function gives; ``zeros``: or what stands in for that."""
        try:
            result = stand_in(name, function, args, kwargs) if zeros else None
            if result is None:
                result = function(
                    *known(args), **{key: known(value) for key, value in kwargs.items()}
                )
        except Exception as error:
            self._failed = f"{name} fails ({type(error).__name__}), and it goes on"
            raise
        return result

    def _made(
        self, name: str, result: Any, tensors: Sequence[Tensor], written: Sequence[Tensor]
    ) -> list[Tensor]:
        """The tensors that a call made, or wrote to and gave back; none where it gave back what it was given."""
        made = _results(result, name)
        if name == "__setitem__":
            raise Unsure("it writes into a part of a tensor")
        if any(not _is_among(tensor, made) for tensor in written):
            raise Unsure(f"{name} writes to what it is given")
        for tensor in written:
            self._origins.check_not_held(tensor)
        fresh = [each for each in made if not _is_among(each, tensors) or _is_among(each, written)]
        if fresh and len(fresh) != len(made):
            raise Unsure(f"{name} gives back one of its arguments among other results")
        return fresh

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


def _is_among(tensor: Tensor, others: Sequence[Tensor]) -> bool:
    return any(tensor is each for each in others)


def _writes(function: Callable[..., Any]) -> bool:
    """Whether it is of those that write to their first argument: ``add_``, ``x[...] = y``."""
    name = getattr(function, "__name__", "")
    return name == "__setitem__" or (name.endswith("_") and not name.endswith("__"))
