"""Tensors as numpy arrays and back, bfloat16 included."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, TypeAlias

import ml_dtypes
import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import torch

__all__ = ["Array", "Arrays", "from_torch", "is_floating", "to_torch", "widened"]

Array: TypeAlias = npt.NDArray[Any]
Arrays: TypeAlias = tuple[Array, ...]
_BFLOAT16 = np.dtype(ml_dtypes.bfloat16)


def from_torch(tensors: Iterable[torch.Tensor]) -> Arrays:
    """Copies on the CPU; numpy has no bfloat16 of its own, so that one comes from ``ml_dtypes``."""
    return tuple(_array(tensor) for tensor in tensors)


def to_torch(array: Array) -> torch.Tensor:
    """A tensor with memory of its own: a model that writes into its input must not reach ours."""
    import torch

    if array.dtype == _BFLOAT16:
        return torch.from_numpy(array.view(np.int16).copy()).view(torch.bfloat16)
    return torch.from_numpy(np.array(array, order="C"))


def is_floating(array: Array) -> bool:
    """Whether the elements are rounded numbers: float or complex, bfloat16 included."""
    return array.dtype == _BFLOAT16 or array.dtype.kind in "fc"


def widened(array: Array) -> Array:
    """In float64 (complex128), where differences of float32 numbers are exact enough to judge."""
    return array.astype(np.complex128 if array.dtype.kind == "c" else np.float64)


def _array(tensor: torch.Tensor) -> Array:
    import torch

    tensor = tensor.detach().to("cpu", copy=True).resolve_conj().resolve_neg().contiguous()
    if tensor.dtype == torch.bfloat16:
        return tensor.view(torch.int16).numpy().view(_BFLOAT16)
    result: Array = tensor.numpy()
    return result
