"""PyTorch as a runtime: a live module, TorchScript, and ``torch.export`` archives."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from bnexport.parity.arrays import Arrays, from_torch, to_torch
from bnexport.parity.halved import Halved, round_to
from bnexport.parity.runner import Opened, run_errors
from bnexport.parity.tf32 import Tf32
from bnexport.parity.widened import LARGE, Widened
from bnexport.passes.modules import copy_module, undisturbed

__all__ = ["ExportedRunner", "TorchRunner", "TorchScriptRunner"]


TF32 = "tf32"
_KINDS = (torch.Tensor, nn.Parameter)
_HALVES = {"float16": torch.float16, "bfloat16": torch.bfloat16}


class TorchRunner(Opened):
    """A module that takes positional tensors and returns a tuple of tensors, already in eval mode.

    Args:
        module: Never changed: another precision runs on a copy.
        dtype: The precision to run in; None: as the module is.

    Each run draws from a random state of its own and leaves the caller's as it was, so that a
    model which draws random numbers gives different outputs on a second run.
    """

    name = "PyTorch"

    def __init__(self, module: torch.nn.Module, *, dtype: torch.dtype | None = None) -> None:
        self._module, self._dtype = module, dtype
        self._live: Callable[..., Any] | None = None
        self._runs = itertools.count()
        self._known: dict[bytes, Arrays] = {}
        self._place = next((p.device for p in _tensors(module)), torch.device("cpu"))
        self.version = str(torch.__version__).split("+")[0]
        self.device = self._place.type
        self.precision = str(dtype or _narrowest(module)).removeprefix("torch.")

    def _enter(self) -> None:
        self._live = self._open()

    def _leave(self) -> None:
        self._live = None

    def know(self, inputs: Arrays, outputs: Arrays) -> None:
        """Give ``outputs`` the next time that ``inputs`` are run: they were run already."""
        self._known[_digest(inputs)] = outputs

    def run(self, inputs: Arrays) -> Arrays:
        known = self._known.pop(_digest(inputs), None) if self._known else None
        if known is not None:
            return known
        live = self._live or self._open()
        tensors = [self._input(to_torch(array)) for array in inputs]
        with undisturbed(next(self._runs)), _exact(self._place), run_errors(self._what()):
            return from_torch(_tuple(live(*tensors)))

    def origin(self, inputs: Arrays) -> str:
        """The first layer whose output is not finite."""
        seen: list[str] = []

        def note(name: str, output: object) -> None:
            if name and any(not bool(tensor.isfinite().all()) for tensor in _held(output)):
                seen.append(name)

        self.observed(inputs, note)
        return f"layer {seen[0]!r}" if seen else ""

    def observed(self, inputs: Arrays, note: Callable[[str, object], None]) -> None:
        """Run it, and tell each layer's name and output, in the order of their ends.

        Hooks are put on a copy: the caller's module is not touched even for a moment.

        Raises:
            RunFailed: It cannot run.
        """
        with run_errors(self._what()), undisturbed(0), _exact(self._place):
            module = _converted(self._module, self._dtype)
            for name, layer in module.named_modules():
                # Plain wraps what the user calls the model: its own name is no part of the layer's.
                layer.register_forward_hook(_telling(name.removeprefix("model."), note))
            module(*(self._input(to_torch(array)) for array in inputs))

    def coarser(self, precision: str) -> TorchRunner | None:
        """The same module in ``float16``, ``bfloat16`` or ``tf32``; None: there is no such arithmetic."""
        if precision == TF32:
            return Tf32Runner(self._module)
        dtype = _HALVES.get(precision)
        if dtype is None:
            return None
        if self.device == "cpu":
            return HalvedRunner(self._module, dtype)
        return TorchRunner(self._module, dtype=dtype)

    def _open(self) -> Callable[..., Any]:
        if self._dtype is None or all(t.dtype == self._dtype for t in _tensors(self._module)):
            return self._module
        if self._dtype == torch.float64 and _bytes(self._module) >= LARGE:
            return self._widened
        with run_errors(self._what()), undisturbed():
            return _converted(self._module, self._dtype)

    def _widened(self, *tensors: torch.Tensor) -> Any:
        with torch.no_grad(), Widened():
            return self._module(*tensors)

    def _input(self, tensor: torch.Tensor) -> torch.Tensor:
        wider = self._dtype is not None and tensor.is_floating_point()
        return tensor.to(self._place, self._dtype if wider else None)

    def _what(self) -> str:
        return f"PyTorch cannot run the model in {self.precision}"


class Tf32Runner(TorchRunner):
    """A module in float32, as a GPU runs it that uses TF32."""

    def __init__(self, module: torch.nn.Module) -> None:
        super().__init__(module, dtype=torch.float32)
        self.precision = TF32

    def run(self, inputs: Arrays) -> Arrays:
        with Tf32():  # type: ignore[no-untyped-call]
            return super().run(inputs)


class HalvedRunner(TorchRunner):
    """A module in float32 with each number rounded, as a GPU runs it in half precision."""

    def __init__(self, module: torch.nn.Module, dtype: torch.dtype) -> None:
        super().__init__(module, dtype=torch.float32)
        self._half = dtype
        self.precision = str(dtype).removeprefix("torch.")

    def run(self, inputs: Arrays) -> Arrays:
        with Halved(self._half):
            return super().run(inputs)

    def _input(self, tensor: torch.Tensor) -> torch.Tensor:
        wide = super()._input(tensor)
        return wide.to(self._half).to(wide.dtype) if wide.is_floating_point() else wide

    def _open(self) -> Callable[..., Any]:
        with run_errors(self._what()), undisturbed(), torch.no_grad():
            module = _converted(self._module, torch.float32)
            for tensor in _tensors(module):
                round_to(tensor, self._half)
        return module


class _FileRunner(TorchRunner):
    """A file that holds a program; read when entered."""

    def __init__(self, path: Path | str) -> None:
        self._path = Path(path)
        super().__init__(torch.nn.Module())
        self.precision = "float32"

    def origin(self, inputs: Arrays) -> str:
        """Nothing: a program of this kind takes no hooks."""
        return ""

    def _open(self) -> Callable[..., Any]:
        with run_errors(self._what()), undisturbed():
            module = self._read()
        self.precision = str(_narrowest(module)).removeprefix("torch.")
        return module

    def _read(self) -> torch.nn.Module:
        raise NotImplementedError

    def _what(self) -> str:
        return f"{self.name} cannot run {self._path}"


class TorchScriptRunner(_FileRunner):
    """A TorchScript archive.

    Reading one runs its code: only for files that bnexport wrote or the user trusts.
    """

    name = "TorchScript"

    def _read(self) -> torch.nn.Module:
        load: Callable[..., torch.nn.Module] = torch.jit.load
        module = load(str(self._path), map_location="cpu")
        return module.eval()


class ExportedRunner(_FileRunner):
    """A ``torch.export`` archive.

    Reading one can run code: only for files that bnexport wrote or the user trusts.
    """

    name = "torch.export"

    def _read(self) -> torch.nn.Module:
        return torch.export.load(str(self._path)).module()


def _digest(arrays: Arrays) -> bytes:
    digest = hashlib.blake2b()
    for array in arrays:
        digest.update(f"{array.dtype}{array.shape}".encode())
        digest.update(np.ascontiguousarray(array).view(np.uint8).data)
    return digest.digest()


def _telling(name: str, note: Callable[[str, object], None]) -> Any:
    return lambda layer, inputs, output: note(name, output)


def _held(value: object) -> Iterator[torch.Tensor]:
    """The tensors of a layer's output."""
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from _held(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _held(item)


def _tensors(module: torch.nn.Module) -> list[torch.Tensor]:
    """Every floating tensor that the module holds, also those that a layer keeps as an attribute."""
    kept = (value for layer in module.modules() for value in vars(layer).values())
    every = itertools.chain(module.parameters(), module.buffers(), kept)
    return [
        value for value in every if isinstance(value, torch.Tensor) and value.is_floating_point()
    ]


def _bytes(module: torch.nn.Module) -> int:
    return sum(each.nbytes for each in module.parameters())


def _narrowest(module: torch.nn.Module) -> torch.dtype:
    """The floating type with the fewest digits: it decides how far the module's rounding goes."""
    found = {tensor.dtype for tensor in _tensors(module)}
    return max(found, key=lambda dtype: torch.finfo(dtype).eps, default=torch.float32)


def _converted(module: torch.nn.Module, dtype: torch.dtype | None) -> torch.nn.Module:
    """A copy, in another precision where one is given.

    Tensors that layers keep as plain attributes are converted too: ``to`` passes those by.
    """
    if dtype is None:
        return copy_module(module)
    return copy_module(module, lambda tensor: _widened(tensor, dtype))


def _widened(tensor: torch.Tensor, dtype: torch.dtype) -> torch.Tensor | None:
    """A floating tensor in another type, of the same class; None: a copy will do."""
    if not tensor.is_floating_point() or tensor.dtype == dtype or type(tensor) not in _KINDS:
        return None
    value = tensor.detach().to(dtype)
    return nn.Parameter(value, tensor.requires_grad) if isinstance(tensor, nn.Parameter) else value


def _tuple(result: Any) -> tuple[torch.Tensor, ...]:
    return (result,) if isinstance(result, torch.Tensor) else tuple(result)


@contextmanager
def _exact(place: torch.device) -> Iterator[None]:
    """No TF32, no search for the fastest kernel, and on a GPU the kernels that repeat themselves where there are some.

    The caller's settings return at the end. cuDNN runs float32 convolutions in TF32 unless told not to: a yardstick
    measured so would be 8,000 times too long.
    """
    if place.type != "cuda":
        yield
        return
    matmul = torch.backends.cuda.matmul.allow_tf32
    strict = torch.are_deterministic_algorithms_enabled()
    warns = torch.is_deterministic_algorithms_warn_only_enabled()
    try:
        torch.backends.cuda.matmul.allow_tf32 = False
        torch.use_deterministic_algorithms(True, warn_only=True)
        with torch.backends.cudnn.flags(deterministic=True, benchmark=False, allow_tf32=False):
            yield
    finally:
        torch.use_deterministic_algorithms(strict, warn_only=warns)
        torch.backends.cuda.matmul.allow_tf32 = matmul
