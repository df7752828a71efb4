"""NumPy arrays as messages carry them: their types and shapes as JSON, their bytes beside it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from bnexport.isolation.wire import Buffer

__all__ = ["packed", "unpacked"]

_KINDS = "?biufc"  # numbers: an array of objects is a pickle in disguise


def packed(arrays: Sequence[np.ndarray]) -> tuple[list[dict[str, Any]], list[Buffer]]:
    """What to say of the arrays, and their bytes.

    Raises:
        ValueError: One does not hold numbers.
    """
    told: list[dict[str, Any]] = []
    blobs: list[Buffer] = []
    for array in arrays:
        if array.dtype.kind not in _KINDS:
            raise ValueError(f"an array of {array.dtype}, which holds no numbers")
        told.append({"dtype": array.dtype.str, "shape": list(array.shape)})
        blobs.append(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
    return told, blobs


def unpacked(told: Sequence[Mapping[str, Any]], blobs: Sequence[Buffer]) -> list[np.ndarray]:
    """The arrays; they cannot be written to.

    Raises:
        ValueError: The bytes are not those of the types and shapes.
    """
    arrays = []
    for said, blob in zip(told, blobs, strict=True):
        dtype, shape = np.dtype(str(said["dtype"])), tuple(map(int, said["shape"]))
        size = math.prod(shape) * dtype.itemsize
        if dtype.kind not in _KINDS or min(shape, default=0) < 0 or size != len(blob):
            raise ValueError("an array that is not what it says")
        arrays.append(np.frombuffer(blob, dtype).reshape(shape))
    return arrays
