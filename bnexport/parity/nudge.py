"""Inputs moved by one unit in the last place: every sum behind them rounds anew."""

from __future__ import annotations

import numpy as np

from bnexport.parity.arrays import Array, Arrays, is_floating

__all__ = ["nudged"]


def nudged(inputs: Arrays, seed: int) -> Arrays:
    """Each floating element moved up or down at random; the rest as it is."""
    draw = np.random.default_rng(seed)
    return tuple(_nudge(array, draw) for array in inputs)


def _nudge(array: Array, draw: np.random.Generator) -> Array:
    if not is_floating(array) or array.dtype.kind == "c":
        return array
    away = np.where(draw.random(array.shape) < 0.5, -np.inf, np.inf).astype(array.dtype)
    moved: Array = np.nextafter(array, away)
    return moved
