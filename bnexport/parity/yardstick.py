"""The yardstick: how far the model's own rounding goes, and the limits that follow.

    limit = MULTIPLE x max(rounding, floor)

where the rounding is of the runtime's arithmetic. Where the model could not be run in that, it is its own
rounding times (unit roundoff of the runtime / of the model).

Measured on 2026-11-22 with torch 2.13.0, onnxruntime 1.32.0 and timm 1.0.31 (random weights,
randomised running statistics) on resnet18, resnet50, mobilenetv3_small_100, efficientnet_b0,
densenet121, regnety_004 and convnext_atto, at batch 1 and 8, three draws each: rounding is 2.9e-7
to 7.0e-7 of the norm; ONNX Runtime errs by 0.62 to 1.27 times that in the norm and by 0.59 to 1.54
times in the largest element, optimised or not; a sample alone moves by up to 1.47 times it.
running_var x 1.01 in one layer: 18 times or more, and over 200 in 17 of the 18 layers tried.

One run's rounding is luck where a few directions of the network amplify it: models/audio1d.py has
a BatchNorm with next to no variance, and in 13 of 400 draws ONNX Runtime erred by over 5 times one
run's rounding (33 at worst). With the rounding pooled over NUDGES more runs, whose inputs are moved
by one unit in the last place: never in 400 (4.5 at worst).

Measured on 2026-11-23 on 52 networks (benchmarks/healthy.py) and 47 faults of one network
(benchmarks/faults.py), every channel judged: the worst check of a healthy network is at 3.1 times its
rounding, the smallest fault (one layer's weights rounded to float16) at 79 times. A multiple of 2 would
have raised 13 false alarms, 4 and more none; none up to 64 would have missed a fault.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from bnexport.parity.arrays import Array, is_floating, widened
from bnexport.parity.measure import norm, peak
from bnexport.parity.parts import Part, Parts, Slices

__all__ = [
    "MULTIPLE",
    "NUDGES",
    "Limits",
    "Tally",
    "Yardstick",
    "alike_floor",
    "least_floor",
    "roundoff",
    "usual_floor",
]

MULTIPLE = 8.0

# Runs more than the plain one that the rounding is pooled over.
NUDGES = 4

# Two units in the last place of float32: a shallow model's own rounding can be next to nothing,
# while runtimes compute exp, tanh and erf to a few ulps each.
FLOOR = 2 * 2.0**-23

# Edges are there for what overflows, is flushed or clipped, and their rounding is measured on three
# runs. Of 52 networks efficientnet_b0 erred by 6.2 times that on inputs a thousand times as large, no
# other by more than 1.5 times.
EDGE = 4

# Numbers that a runtime adds up side by side in one loop.
_ABREAST = 8

# A model whose rounding is a tenth of its output agrees with anything: no runtime may err by more
# than this.
CEILING = 0.1

# An index or a rounded integer flips where two scores tie to within rounding: about as many
# elements in a million as rounding is millionths of the output.
FLIPS_FLOOR = 1e-6

_UNIT = {
    "float64": 2.0**-53,
    "float32": 2.0**-24,
    "tf32": 2.0**-11,
    "float16": 2.0**-11,
    "bfloat16": 2.0**-8,
}


def usual_floor(channel: int) -> float:
    """The least that counts as rounding, as a fraction of the output.

    torch sums in pairs, others in a loop, and what that rounds is not seen in the model's own rounding. Of n numbers
    the roundings make a walk of n / 8 steps, each up to u times what was summed till then: u sqrt(n / 8 / 3) at
    the end, of which twice may be. Measured, of a mean over 512 x 512 and 1024 x 1024 numbers above zero: 2.0e-6 and
    3.0e-6 in ONNX Runtime, where twice that formula says 1.2e-5 and 2.5e-5.

    Args:
        channel: How many numbers a mean over one channel of a sample runs over.
    """
    walk = _UNIT["float32"] * math.sqrt(channel / _ABREAST / 3)
    return max(FLOOR, 2 * walk / MULTIPLE)


def alike_floor(channel: int) -> float:
    """The same where the numbers are alike, so that all are rounded one way: the steps of the walk do not cancel.

    Inputs that hardly vary become such numbers. Measured: ONNX Runtime's mean over the 128 x 128 equal
    numbers that a network of a hundred convolutions made of zeros is off by 1.1e-5 of the output, over 192 x 192
    that one made by 5.9e-5, where this formula and ``MULTIPLE`` say 2.4e-4 and 3.7e-4.
    """
    return FLOOR * math.sqrt(channel)


def least_floor(precision: str) -> float:
    """The least that counts as rounding where a model is run in half precision: that of its outputs alone.

    A channel that hardly varies is rounded the same way each time, and that may be next to not at all. Measured:
    lcnet_050 in float16, whose channel 884 PyTorch happened to round to 4e-5 of it, ONNX Runtime to 7e-4.
    """
    return roundoff(precision) if precision in ("float16", "bfloat16") else 0.0


def roundoff(precision: str) -> float:
    """The share of a number by which an arithmetic may round it; zero where that is not known."""
    return _UNIT.get(precision, 0.0)


@dataclass(frozen=True)
class Limits:
    """What an output's distances are held against.

    Attributes:
        yardstick: The rounding, in the measure of ``Distance.relative``.
        relative: The limit on ``Distance.relative``.
        peak: The limit on ``Distance.peak``.
        differing: The limit on ``Distance.differing``, for integers.
    """

    yardstick: float
    relative: float
    peak: float
    differing: float


@dataclass(frozen=True)
class Yardstick:
    """The rounding of one output, pooled over every sample that was run.

    Pooled, and kept in the output's own units, because a single sample's rounding is luck: an
    output of one number may be exact by chance, or next to zero.

    Attributes:
        rms: Root mean square of the reference; where it is zero, errors are absolute.
        peak: Largest magnitude of the reference.
        noise: Root mean square of (own - reference).
        noise_peak: Largest |own - reference|.
        flips: The fraction of elements in which own and reference are not equal.
        precision: The arithmetic that rounded so.
        floor: The least that counts as rounding, as a fraction of the output.
        slices: The same of each channel, where an output has such.
    """

    rms: float
    peak: float
    noise: float
    noise_peak: float
    flips: float
    precision: str
    floor: float = FLOOR
    slices: tuple[Slices, ...] = ()

    def limits(self, reference: Array, precision: str) -> Limits:
        """For outputs that are compared with ``reference``, from a runtime of this precision."""
        coarser = self._coarser(precision)
        per_norm = math.sqrt(reference.size) / norm(reference)
        return Limits(
            yardstick=self.noise * coarser * per_norm,
            relative=self._allowed(self.noise, self.rms, coarser) * per_norm,
            peak=self._allowed(self.noise_peak, self.peak, coarser) / peak(reference),
            differing=min(MULTIPLE * max(self.flips, FLIPS_FLOOR) * coarser, CEILING),
        )

    def worst_part(self, a: Array, b: Array, precision: str) -> Part | None:
        """The channel of ``a`` that is furthest from ``b``, by its own rounding; None: there are none to tell."""
        multiple = MULTIPLE * self._coarser(precision)
        found = [each.worst(a, b, multiple) for each in self.slices]
        return max(filter(None, found), key=lambda part: part.ratio, default=None)

    def _coarser(self, precision: str) -> float:
        return max(1.0, roundoff(precision) / (roundoff(self.precision) or 1.0))

    def levelled(self, usual: Yardstick) -> Yardstick:
        """Of an edge: in units of what an output usually is, of the whole output alone, and ``EDGE`` times as long."""
        return replace(
            self,
            rms=max(self.rms, usual.rms),
            peak=max(self.peak, usual.peak),
            noise=EDGE * self.noise,
            noise_peak=EDGE * self.noise_peak,
            slices=(),
        )

    def capped(self, share: float) -> Yardstick:
        """The same, with no more rounding than ``share`` of the output."""
        return replace(
            self,
            noise=min(self.noise, share * (self.rms or 1.0)),
            noise_peak=min(self.noise_peak, share * (self.peak or 1.0)),
            flips=min(self.flips, share),
            slices=(),
        )

    def _allowed(self, noise: float, level: float, coarser: float) -> float:
        level = level or 1.0
        return min(MULTIPLE * max(noise, self.floor * level) * coarser, CEILING * level)

    @property
    def vague(self) -> bool:
        """Whether rounding alone takes the output so far that the ceiling cuts its limit off."""
        return MULTIPLE * max(self.noise / (self.rms or 1.0), self.flips) > CEILING

    @property
    def relative(self) -> float:
        """The rounding as a fraction of the output."""
        return self.noise / (self.rms or 1.0)


@dataclass
class Tally:
    """Gathers one output's rounding, run by run: large outputs are not kept for it."""

    size: int = 0
    level: float = 0.0
    peak: float = 0.0
    noise: float = 0.0
    noise_peak: float = 0.0
    differing: int = 0
    lost: int = 0
    floating: bool = True
    parts: list[Parts] | None = None

    def add(self, own: Array, reference: Array) -> None:
        """Count one run; elements that are not finite on either side are left out, to fail elsewhere."""
        a, b = widened(own), widened(reference)
        finite = np.isfinite(a) & np.isfinite(b)
        lost = a.size - int(np.count_nonzero(finite))
        with np.errstate(invalid="ignore"):
            gap = a - b
        if lost:
            gap, b = np.where(finite, gap, 0.0), np.where(finite, b, 0.0)
        self.lost += lost
        self.size += a.size - lost
        self.level += float(np.vdot(b, b).real)
        self.peak = max(self.peak, _largest(b))
        self.noise += float(np.vdot(gap, gap).real)
        self.noise_peak = max(self.noise_peak, _largest(gap))
        self.differing += int(np.count_nonzero(gap))
        self.floating = is_floating(own)
        self.parts = Parts.of(b) if self.parts is None else self.parts
        for part in self.parts:
            part.add(gap, b)

    def yardstick(self, precision: str, floor: float = FLOOR) -> Yardstick:
        """What was gathered, of runs in this arithmetic.

        Args:
            precision: The arithmetic.
            floor: The least that counts as rounding, as a fraction of the output.
        """
        size = max(1, self.size)
        return Yardstick(
            rms=math.sqrt(self.level / size),
            peak=self.peak,
            noise=math.sqrt(self.noise / size),
            noise_peak=self.noise_peak,
            flips=0.0 if self.floating else self.differing / size,
            precision=precision,
            floor=floor,
            slices=tuple(part.slices(floor) for part in self.parts or ()),
        )

    def least(self, reference: Array, runs: int, precision: str, floor: float) -> Yardstick:
        """No longer than the yardstick will be when ``runs`` more have been counted against ``reference``.

        Whatever those come to, what was gathered is a part of it.
        """
        right = widened(reference)
        right = np.where(np.isfinite(right), right, 0.0)
        size = max(1, self.size + runs * right.size)
        return Yardstick(
            rms=math.sqrt((self.level + runs * float(np.vdot(right, right).real)) / size),
            peak=self.peak,
            noise=math.sqrt(self.noise / size),
            noise_peak=self.noise_peak,
            flips=0.0 if self.floating else self.differing / size,
            precision=precision,
            floor=floor,
            slices=tuple(part.least(floor, runs * right.size) for part in self.parts or ()),
        )


def _largest(array: Array) -> float:
    if array.dtype.kind == "c":
        array = np.abs(array)
    return max(abs(float(array.max(initial=0.0))), abs(float(array.min(initial=0.0))))
