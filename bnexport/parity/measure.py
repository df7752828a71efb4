"""How far one array is from another."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bnexport.parity.arrays import Array, widened

__all__ = ["DECADES", "Distance", "distance", "histogram", "norm", "peak"]

# Powers of ten between which errors over their limit are counted, in halves.
DECADES = (-6, 2)


@dataclass(frozen=True)
class Distance:
    """Of ``a`` from ``b``.

    Attributes:
        max_abs: max |a - b|.
        relative: ||a - b|| / ||b||; the root mean square of a - b where b is zero everywhere.
        peak: max |a - b| / max |b|; max |a - b| where b is zero everywhere. One broken element
            among a million shows here and vanishes in the norm.
        worst: Index of the element where |a - b| is largest.
        differing: The fraction of elements that are not equal.
    """

    max_abs: float
    relative: float
    peak: float
    worst: tuple[int, ...]
    differing: float


def distance(a: Array, b: Array) -> Distance:
    """Of ``a`` from ``b``, two finite arrays of one shape with at least one element."""
    gap = np.abs(widened(a) - widened(b))
    place = np.unravel_index(int(gap.argmax()), gap.shape)
    largest = float(gap.max())
    return Distance(
        max_abs=largest,
        relative=float(np.linalg.norm(gap)) / norm(b),
        peak=largest / peak(b),
        worst=tuple(int(i) for i in place),
        differing=float(np.count_nonzero(gap)) / gap.size,
    )


def histogram(a: Array, b: Array, limit: float) -> tuple[int, ...]:
    """How many elements err by what share of ``limit``, by half powers of ten; first those below, last those above."""
    gap = np.abs(widened(a) - widened(b)).ravel() / (limit * peak(b))
    edges = 10.0 ** np.arange(DECADES[0], DECADES[1] + 0.25, 0.5)
    places = np.searchsorted(edges, gap, side="right")
    return tuple(int(count) for count in np.bincount(places, minlength=len(edges) + 1))


def norm(b: Array) -> float:
    """||b||; of an all-zero b that of ones, so that errors are then absolute."""
    return float(np.linalg.norm(np.abs(widened(b)))) or float(b.size) ** 0.5


def peak(b: Array) -> float:
    """The largest |b|; 1 where b is zero everywhere."""
    return float(np.abs(widened(b)).max()) or 1.0
