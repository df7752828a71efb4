"""Inputs moved by one unit in the last place: every sum behind them rounds anew."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np

from bnexport.parity.arrays import Array, Arrays, is_floating

__all__ = ["nudged", "stirred"]

_STIR = 2.0**-20


def nudged(inputs: Arrays, seed: int, unit: float | None = None) -> Arrays:
    """Each floating element moved up or down at random; the rest as it is.

    Args:
        inputs: One array an input.
        seed: Of the directions.
        unit: How far, as a share of the element; None: to the next number of the array's type.
    """
    draw = np.random.default_rng(seed)
    return tuple(_nudge(array, draw, unit) for array in inputs)


def stirred(inputs: Arrays, usual: Arrays, seed: int) -> Arrays:
    """Each floating element moved up or down by a millionth of what the input usually is.

    What is zero cannot be moved by a share of itself, and where all elements are alike their order is luck.
    """
    draw = np.random.default_rng(seed)
    return tuple(_stir(*pair, draw) for pair in zip(inputs, usual, strict=True))


def _stir(array: Array, usual: Array, draw: np.random.Generator) -> Array:
    if not is_floating(array) or array.dtype.kind == "c":
        return array
    step = max(_STIR, float(_roundoff(array))) * float(np.abs(usual).astype(np.float64).mean())
    moved: Array = (array + np.where(draw.random(array.shape) < 0.5, -step, step)).astype(
        array.dtype
    )
    return moved


def _roundoff(array: Array) -> float:
    info: Any = ml_dtypes.finfo
    return float(info(array.dtype).eps)


def _nudge(array: Array, draw: np.random.Generator, unit: float | None) -> Array:
    if not is_floating(array) or array.dtype.kind == "c":
        return array
    down = draw.random(array.shape) < 0.5
    if unit is not None:
        return np.asarray(array * np.where(down, 1 - unit, 1 + unit)).astype(array.dtype)
    return np.asarray(np.nextafter(array, np.where(down, -np.inf, np.inf).astype(array.dtype)))
