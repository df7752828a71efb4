"""The parts of an output: channels that a single norm over all of them would hide.

A detector gives boxes in pixels and scores below one in a single tensor. Scores that are off by a thousandth are less
than a millionth of its norm. So each slice along the channel axis, and along the last, has a yardstick of its own:
the longer, the fewer elements it was measured on.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from bnexport.parity.arrays import Array, is_floating, widened

__all__ = ["Part", "Parts", "Slices"]

# Slices along one axis: of an axis with more of them the elements of one are no channel.
MOST = 1024
MOST_AXES = 8
# Elements of a slice, of all runs, that rounding must reach for it to be known; of fewer it may be so many times what
# was seen.
ROUNDED = 64
# A slice that rounding changes by more than this has no digits to judge: a ReLU that is all but closed.
BLURRED = 0.05


@dataclass
class Parts:
    """Gathers the rounding of the slices along one axis, run by run.

    What is kept is that of the sample in which it went furthest: a softmax, say, is all but constant in most samples,
    and pooled over those its rounding says nothing of the one in which it is not.
    """

    axis: int
    noise: Array = field(default_factory=lambda: np.zeros(0))
    level: Array = field(default_factory=lambda: np.zeros(0))
    rounded: Array = field(default_factory=lambda: np.zeros(0))

    def add(self, gap: Array, right: Array) -> None:
        """Count one run: |own - reference|, and the reference."""
        noise, level = (_deviations(each, self.axis).max(axis=0) for each in (gap, right))
        rounded = _changed(gap, self.axis)
        if not len(self.noise):
            self.noise, self.level, self.rounded = noise, level, rounded
        elif len(self.noise) == len(noise):
            self.noise, self.level = np.maximum(self.noise, noise), np.maximum(self.level, level)
            self.rounded = self.rounded + rounded
        else:  # another shape at another batch: nothing is known of either
            self.rounded = np.zeros_like(self.rounded)

    def slices(self, floor: float) -> Slices:
        """The yardsticks: each what rounding came to, and no less than ``floor`` of the slice."""
        known = (self.level > 0) & (self.noise <= BLURRED * self.level)
        luck = ROUNDED / np.clip(self.rounded, 1, ROUNDED)
        allowed = luck * np.maximum(self.noise, floor * self.level)
        return Slices(self.axis, np.where(known, allowed, np.inf))

    def least(self, floor: float, more: int) -> Slices:
        """Yardsticks that are no longer than `slices` gives after further runs, of ``more`` numbers in all."""
        known = self.level > 0
        rounded = self.rounded + more // max(1, len(self.rounded))
        luck = ROUNDED / np.clip(rounded, 1, ROUNDED)
        allowed = luck * np.maximum(self.noise, floor * self.level)
        return Slices(self.axis, np.where(known, allowed, np.inf))

    @staticmethod
    def of(array: Array) -> list[Parts]:
        """For the axes of an output that may be channels."""
        if not 2 <= array.ndim <= MOST_AXES or not is_floating(array) or array.dtype.kind == "c":
            return []
        axes = dict.fromkeys((1, array.ndim - 1))
        return [Parts(axis) for axis in axes if 2 <= array.shape[axis] <= MOST]


@dataclass(frozen=True, eq=False)
class Slices:
    """The rounding of the slices along one axis, root mean square of a sample; infinite where it is not known."""

    axis: int
    rounding: Array

    def worst(self, a: Array, b: Array, multiple: float) -> Part | None:
        """The slice that errs the most, measured by its limit; None where the shape is another or no rounding known."""
        if b.ndim <= self.axis or b.shape[self.axis] != len(self.rounding):
            return None
        error, level = (
            _deviations(each, self.axis).max(axis=0)
            for each in (widened(a) - widened(b), widened(b))
        )
        ratios = error / (multiple * self.rounding)
        place = int(ratios.argmax())
        if not np.isfinite(self.rounding[place]):
            return None
        scale = float(level[place]) or 1.0
        return Part(
            name=f"[:, {place}]" if self.axis == 1 else f"[..., {place}]",
            relative=float(error[place]) / scale,
            limit=float(multiple * self.rounding[place]) / scale,
        )


@dataclass(frozen=True)
class Part:
    """The verdict on one slice.

    Attributes:
        name: As numpy would index it: ``[:, 37]``.
        relative: ||a - b|| / ||b|| over the slice, each of the sample in which it is largest.
        limit: What that is held against.
    """

    name: str
    relative: float
    limit: float

    @property
    def ratio(self) -> float:
        """How much of its limit it used."""
        return self.relative / self.limit


def _deviations(array: Array, axis: int) -> Array:
    """Root mean square, by sample and slice. Summed where the elements lie: outputs can be large."""
    axes = "abcdefgh"[: array.ndim]
    sums: Array = np.einsum(f"{axes},{axes}->a{axes[axis]}", array, array)
    return np.sqrt(sums / max(1, array.size // sums.size))


def _changed(gap: Array, axis: int) -> Array:
    """How many elements of each slice are not what they should be."""
    others = tuple(each for each in range(gap.ndim) if each != axis)
    counts: Array = np.asarray(np.count_nonzero(gap, axis=others))
    return counts
