"""Example inputs: what the user says of them, what can be inferred, and batches drawn from them.

Importing this file does not import torch: the command line parses ``--input`` with it.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from bnexport.errors import UsageError

if TYPE_CHECKING:
    from os import PathLike

    import numpy as np
    import torch

__all__ = ["Examples", "InputSpec", "complete", "infer", "parse_input", "read_inputs"]

_EXAMPLE = "Write it as Nx3x224x224, x:Nx3x224x224 or ids:Nx16:int64, where N is the batch"
_DTYPES = {
    "float32": ("f32", "float", "fp32"),
    "float16": ("f16", "half", "fp16"),
    "bfloat16": ("bf16",),
    "float64": ("f64", "double", "fp64"),
    "int64": ("i64", "long"),
    "int32": ("i32", "int"),
    "int16": ("i16", "short"),
    "int8": ("i8",),
    "uint8": ("u8", "byte"),
    "bool": ("b",),
    "complex64": ("c64",),
}
_BY_NAME = {alias: dtype for dtype, names in _DTYPES.items() for alias in (dtype, *names)}
_SHAPE = re.compile(r"[nN0-9]+(?:[xX,\u00d7*][nN0-9]+)*")


@dataclass(frozen=True)
class InputSpec:
    """One input of the model.

    Attributes:
        name: The parameter of ``forward`` that it feeds; empty until `complete` fills it in.
        shape: With None for the batch axis (always axis 0); one without None has no batch axis.
        dtype: A torch dtype's name: ``float32``, ``int64``; empty until `complete` fills it in.
        high: Integers are drawn from 0 up to and without this; None: what suits the dtype.
    """

    name: str
    shape: tuple[int | None, ...]
    dtype: str = "float32"
    high: int | None = None

    def __str__(self) -> str:
        shape = "x".join("N" if size is None else str(size) for size in self.shape)
        named = f"{self.name}:{shape}" if self.name else shape
        return named if self.dtype in ("", "float32") else f"{named}:{self.dtype}"


@dataclass(frozen=True)
class Examples:
    """Where batches come from: the inputs' shapes, and real samples where there are some.

    Attributes:
        specs: One an input, in the order of ``forward``.
        data: Real samples, batch first, one array an input; None: drawn at random.
        assumed: The sentence that says what was inferred and how to change it; may be empty.
    """

    specs: tuple[InputSpec, ...]
    data: tuple[np.ndarray, ...] | None = None
    assumed: str = ""

    def batch(self, n: int, seed: int = 0) -> tuple[torch.Tensor, ...]:
        """``n`` samples an input; the same for the same ``seed``, different for another.

        The first samples of a larger batch are those of a smaller one with the same seed. Floats
        are standard normal, integers lie below the input's ``high``. Real samples come in order;
        beyond their number, and for any seed but 0, they come again with a little noise.
        """
        from bnexport.inputs.sampling import draw, resample

        if n < 1:
            raise UsageError(f"a batch of {n}", "it holds no sample", "Use --batch 1,8")
        if self.data is None:
            return tuple(draw(spec, n, seed, place) for place, spec in enumerate(self.specs))
        pairs = zip(self.specs, self.data, strict=True)
        return tuple(resample(spec, data, n, seed) for spec, data in pairs)


def parse_input(text: str) -> InputSpec:
    """Read ``[name:]Nx3x224x224[:dtype]``; what is not said is empty.

    Raises:
        UsageError: The text has another form.
    """
    *names, shape, dtype = _parts(text)
    if len(names) > 1 or not _SHAPE.fullmatch(shape) or (names and not names[0].isidentifier()):
        raise UsageError(f"input {text!r}", "it is not of the form [name:]shape[:dtype]", _EXAMPLE)
    sizes = re.split(r"[xX,\u00d7*]", shape)
    if any(not size.isdigit() for size in sizes[1:]) or not (
        sizes[0] in "nN" or sizes[0].isdigit()
    ):
        raise UsageError(f"input {text!r}", "N, the batch, can only be the first axis", _EXAMPLE)
    known = tuple(None if size in "nN" else int(size) for size in sizes)
    if 0 in known:
        raise UsageError(f"input {text!r}", "an axis of size 0 holds nothing", _EXAMPLE)
    return InputSpec(names[0] if names else "", known, dtype)


def _parts(text: str) -> list[str]:
    """The parts between colons, the last of them the dtype's full name, or empty."""
    parts = [part.strip() for part in text.split(":")]
    last = parts[-1].removeprefix("torch.")
    if len(parts) > 1 and last in _BY_NAME:
        return [*parts[:-1], _BY_NAME[last]]
    if len(parts) > 2 or (len(parts) == 2 and _SHAPE.fullmatch(parts[0]) and not _is_shape(last)):
        known = ", ".join(_DTYPES)
        raise UsageError(f"input {text!r}", f"{last!r} is no dtype; there are {known}", _EXAMPLE)
    return [*parts, ""]


def _is_shape(text: str) -> bool:
    return _SHAPE.fullmatch(text) is not None


def complete(specs: Sequence[InputSpec], module: torch.nn.Module) -> tuple[InputSpec, ...]:
    """Give every spec its parameter of ``forward`` and its dtype, and put them in the order of ``forward``.

    Unnamed specs take, in order, the required parameters that no other spec names; without a dtype, the one that the
    module computes in.

    Raises:
        UsageError: A name does not fit, an input is missing, or none has a batch axis.
    """
    from bnexport.inputs.forward import (
        all_parameters,
        float_dtype,
        index_ranges,
        required_parameters,
    )

    required, known = required_parameters(module), all_parameters(module)
    given = [spec.name for spec in specs if spec.name]
    for name, count in Counter(given).items():
        if count > 1 or name not in known:
            why = "it is given twice" if count > 1 else f"forward takes {', '.join(known)}"
            raise UsageError(f"input {name!r}", why, "Name the parameters of forward in --input")
    free = [name for name in known if name not in given]
    free.sort(key=lambda name: name not in required)
    unnamed = [spec for spec in specs if not spec.name]
    if len(unnamed) > len(free):
        many = f"{len(specs)} given, and forward takes {', '.join(known) or 'none'}"
        raise UsageError("too many inputs", many, "Give one --input for each parameter")
    names = iter(free)
    full = [spec if spec.name else replace(spec, name=next(names)) for spec in specs]
    _check_complete(full, required)
    own = str(float_dtype(module)).removeprefix("torch.")
    full = [replace(spec, dtype=spec.dtype or own) for spec in full]
    full = _with_ranges(full, index_ranges(module, full) if any(map(_is_integer, full)) else [])
    return tuple(sorted(full, key=lambda spec: known.index(spec.name)))


def _check_complete(specs: Sequence[InputSpec], required: Sequence[str]) -> None:
    missing = [name for name in required if name not in {spec.name for spec in specs}]
    if missing:
        flags = " ".join(f"--input {name}:Nx..." for name in missing)
        raise UsageError(f"no example for input {', '.join(missing)}", "", f"Add {flags}")
    if all(None not in spec.shape for spec in specs):
        shapes = ", ".join(map(str, specs))
        raise UsageError(f"no batch axis in {shapes}", "the batch is written N", _EXAMPLE)


def _with_ranges(specs: list[InputSpec], ranges: Sequence[int | None]) -> list[InputSpec]:
    pairs = zip(specs, ranges, strict=True) if ranges else ()
    made = [replace(s, high=s.high or high) if _is_integer(s) else s for s, high in pairs]
    return made or specs


def _is_integer(spec: InputSpec) -> bool:
    return spec.dtype.startswith(("int", "uint"))


def read_inputs(path: str | PathLike[str], module: torch.nn.Module) -> Examples:
    """Real samples from a ``.npz``, ``.npy`` or ``.pt`` file, told apart by content.

    The keys of an archive or dict name parameters of ``forward``; a single array, a tuple and
    ``arr_0``, ``arr_1`` are taken in order. The first axis is the sample's number.

    Raises:
        UsageError: The file is missing, or its arrays do not fit the model.
        Refused: The file holds more than arrays.
    """
    from bnexport.inputs.files import read_examples

    return read_examples(path, module)


def infer(
    module: torch.nn.Module, loaded_example: tuple[torch.Tensor, ...] | None = None
) -> Examples:
    """Find inputs that the model runs on: its own example, timm's configuration, the first layer.

    Every candidate is tried in a forward pass of a copy, in eval mode, at batch 2.

    Raises:
        UsageError: Nothing that was tried runs.
    """
    from bnexport.inputs.guess import guess

    return guess(module, loaded_example)
