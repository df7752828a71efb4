"""TF32 on any device: what a tensor core reads of a float32 number is 10 of its 23 binary places.

A GPU that was told to use TF32 rounds the factors of its convolutions and matrix products so, and sums in float32.
How far that takes a network cannot be had from float32's rounding by a factor: it depends on how much of the network
is such products, so it is measured, here by rounding the factors themselves.

Source: NVIDIA, CUDA C++ Programming Guide, "Alternate Floating Point" (1 sign, 8 exponent, 10 mantissa bits).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

__all__ = ["Tf32", "to_tf32"]

_DROPPED = 13  # of float32's 23 places

# Where the factors are among an operator's arguments.
_aten = torch.ops.aten
_FACTORS: Mapping[Any, Sequence[int]] = {
    _aten.convolution: (0, 1),
    _aten.linear: (0, 1),
    _aten.mm: (0, 1),
    _aten.mv: (0, 1),
    _aten.dot: (0, 1),
    _aten.bmm: (0, 1),
    _aten.addmm: (1, 2),
    _aten.addmv: (1, 2),
    _aten.baddbmm: (1, 2),
    _aten._scaled_dot_product_flash_attention_for_cpu: (0, 1, 2),
}


class Tf32(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """While it is entered, every product that a tensor core would take has its factors rounded."""

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Any = None
    ) -> Any:
        places = _FACTORS.get(func.overloadpacket, ())
        rounded = [to_tf32(arg) if place in places else arg for place, arg in enumerate(args)]
        return func(*rounded, **(kwargs or {}))


def to_tf32(tensor: torch.Tensor) -> torch.Tensor:
    """A float32 tensor rounded to the nearest TF32 numbers, ties to even; another type as it is."""
    if tensor.dtype != torch.float32:
        return tensor
    bits = tensor.contiguous().view(torch.int32)
    half = (1 << (_DROPPED - 1)) - 1
    even = (bits >> _DROPPED) & 1
    return ((bits + half + even) & -(1 << _DROPPED)).view(torch.float32)
