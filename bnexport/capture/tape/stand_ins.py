"""What stands in for a convolution where its shape alone is asked for.

The first of two recordings tells the shapes; the numbers are those of the second, and of a run that nobody watches. So
a convolution of two channels is computed there, which has the size of the whole one, and zeros are given.

Somebody may keep what is computed: a mask that depends on the shape of the input alone is kept by many, and is
computed truly. What comes of the zeros and outlives the recording is made NaN, so that nobody takes it for a number.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from bnexport.capture.tape.surroundings import tensors_of
from bnexport.capture.tape.tape import Ref, refs_in

__all__ = ["is_numberless", "spoil", "stand_in"]

_NAMES = ("input", "weight", "bias", "stride", "padding", "dilation", "groups")
_TRANSPOSED = (
    "input",
    "weight",
    "bias",
    "stride",
    "padding",
    "output_padding",
    "groups",
    "dilation",
)
_CONVOLUTIONS: Mapping[str, tuple[str, ...]] = {
    **{f"conv{axes}d": _NAMES for axes in (1, 2, 3)},
    **{f"conv_transpose{axes}d": _TRANSPOSED for axes in (1, 2, 3)},
}
# What they are first given tells them a shape and a type.
_SHAPE_ONLY = frozenset(
    {
        *("ones_like", "zeros_like", "full_like", "empty_like"),
        *("new_ones", "new_zeros", "new_full", "new_empty", "fill", "zero"),
    }
)
_CHANNELS = 2  # of one the strides would not tell which axis comes last
_FORMATS = {4: torch.channels_last, 5: torch.channels_last_3d}


def is_numberless(name: str, taken: Any, numberless: Collection[int]) -> bool:
    """Whether what a call gives is the same whatever numbers the inputs hold.

    Args:
        name: The function's.
        taken: Its arguments, as recorded.
        numberless: The tensors of which that is known.
    """
    refs = list(refs_in(taken))
    if name in _SHAPE_ONLY and taken[0] and isinstance(taken[0][0], Ref):
        del refs[0]
    return all(ref.number in numberless for ref in refs)


def stand_in(
    name: str, function: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> Tensor | None:
    """Zeros of the shape, type and layout of what ``function`` would give; None where that must be computed.

    Args:
        name: The function's.
        function: It.
        args: What it is called with.
        kwargs: The same.
    """
    names = _CONVOLUTIONS.get(name)
    if names is None:
        return None
    given = {**dict(zip(names, args, strict=False)), **kwargs}
    x, weight, groups = given.get("input"), given.get("weight"), given.get("groups", 1)
    if not (isinstance(x, Tensor) and isinstance(weight, Tensor) and type(groups) is int):
        return None
    if x.dim() != weight.dim() or x.layout is not torch.strided or not (x.numel() and groups > 0):
        return None
    transposed = names is _TRANSPOSED
    channels = weight.shape[0] if transposed else weight.shape[1] * groups
    if x.shape[1] != channels:
        return None  # it fails, in words of its own
    few = min(_CHANNELS, *weight.shape[:2])
    part = {"input": x[:, :few], "weight": weight[:few, :few], "bias": None, "groups": 1}
    small: Tensor = function(**{**given, **part})
    wide = weight.shape[1] * groups if transposed else weight.shape[0]
    zeros = small.new_zeros((len(small), wide, *small.shape[2:]))
    last = _FORMATS.get(small.dim())
    if last is not None and not small.is_contiguous() and small.is_contiguous(memory_format=last):
        return zeros.contiguous(memory_format=last)
    return zeros


def spoil(made: Iterable[weakref.ref[Tensor]], module: nn.Module) -> None:
    """Make NaN of the tensors that are still alive, but those that are part of what the module holds."""
    alive = [tensor for each in made if (tensor := each()) is not None]
    if not alive:
        return
    held = {_storage(tensor) for layer in module.modules() for _, tensor in tensors_of(layer)}
    with torch.no_grad():
        for tensor in alive:
            if tensor.is_floating_point() and _storage(tensor) not in held:
                tensor.detach().fill_(torch.nan)


def _storage(tensor: Tensor) -> int:
    return tensor.untyped_storage().data_ptr() if tensor.layout is torch.strided else 0
