"""Inputs moved by one unit in the last place: every sum behind them rounds anew."""

from __future__ import annotations

import numpy as np

from bnexport.parity.arrays import Array, Arrays, is_floating

__all__ = ["nudged"]


def nudged(inputs: Arrays, seed: int, unit: float | None = None) -> Arrays:
    """Each floating element moved up or down at random; the rest as it is.

    Args:
        inputs: One array an input.
        seed: Of the directions.
        unit: How far, as a share of the element; None: to the next number of the array's type.
    """
    draw = np.random.default_rng(seed)
    return tuple(_nudge(array, draw, unit) for array in inputs)


def _nudge(array: Array, draw: np.random.Generator, unit: float | None) -> Array:
    if not is_floating(array) or array.dtype.kind == "c":
        return array
    down = draw.random(array.shape) < 0.5
    if unit is not None:
        return (array * np.where(down, 1 - unit, 1 + unit)).astype(array.dtype)
    moved: Array = np.nextafter(array, np.where(down, -np.inf, np.inf).astype(array.dtype))
    return moved
