"""The verdict on one output of one run: whether it can be compared, then how far it is off."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from bnexport.parity.arrays import Array, is_floating, widened
from bnexport.parity.measure import Distance, distance, histogram
from bnexport.parity.parts import Part
from bnexport.parity.result import Check
from bnexport.parity.yardstick import Limits, Yardstick

__all__ = ["Subject", "Tolerances", "failed", "judge"]


@dataclass(frozen=True)
class Tolerances:
    """|a - b| <= atol + rtol |b| in every element, in place of the yardstick."""

    atol: float = 0.0
    rtol: float = 0.0


@dataclass(frozen=True)
class Subject:
    """What a check is about; the fields of `Check` of the same names.

    Attributes:
        sides: What to call the judged array and the one it is held against.
        inputs: What it ran on, where that was not the usual.
    """

    runtime: str
    precision: str
    batch: int
    kind: str
    output: str
    sides: tuple[str, str]
    inputs: str = ""


def judge(
    subject: Subject, a: Array, b: Array, yardstick: Yardstick, tolerances: Tolerances | None = None
) -> Check:
    """Hold ``a`` against ``b``.

    Shape, emptiness and non-finite elements come first: each is a failure that no tolerance
    excuses. Then numbers are held against the yardstick's limits, in the norm, in the largest
    element and in the norm of each channel; of integers and booleans only as many may differ as
    rounding flips; explicit tolerances replace both.
    """
    for obstacle in (_shape, _kind, _empty, _non_finite):
        if detail := obstacle(subject, a, b):
            return failed(subject, detail)
    gap, limits, part = distance(a, b), yardstick.limits(b, subject.precision), None
    if tolerances is not None:
        ratio = _tolerance_ratio(a, b, tolerances)
        limits = Limits(limits.yardstick, 1.0, 1.0, 1.0)
    elif is_floating(a):
        ratio = max(gap.relative / limits.relative, gap.peak / limits.peak)
        part = yardstick.worst_part(a, b, subject.precision)
        ratio = max(ratio, part.ratio if part else 0.0)
    else:
        # The limit is a number of elements: less than one whole element is none.
        allowed = math.floor(limits.differing * a.size)
        limits = Limits(yardstick.flips, allowed / a.size, 0.0, limits.differing)
        ratio = _share(gap.differing, limits.relative)
    return _measured(subject, (a, b), gap, limits, ratio, tolerances, part)


def failed(subject: Subject, detail: str) -> Check:
    """A failure in which nothing could be measured."""
    return Check(
        runtime=subject.runtime,
        precision=subject.precision,
        batch=subject.batch,
        kind=subject.kind,
        output=subject.output,
        max_abs=math.inf,
        relative=math.inf,
        yardstick=0.0,
        limit=0.0,
        worst=(),
        passed=False,
        detail=detail,
        peak=math.inf,
        ratio=math.inf,
        inputs=subject.inputs,
    )


def _measured(
    subject: Subject,
    arrays: tuple[Array, Array],
    gap: Distance,
    limits: Limits,
    ratio: float,
    tolerances: Tolerances | None,
    part: Part | None,
) -> Check:
    passed, (a, b) = ratio <= 1.0, arrays
    sentence = _explicit if tolerances else _rounding if is_floating(a) else _flipped
    detail = sentence(gap, limits, ratio)
    usual = subject.kind == "agreement" and not subject.inputs
    counts = histogram(a, b, limits.peak) if usual and is_floating(a) and not tolerances else ()
    if part is not None and part.ratio == ratio:
        detail = _in_part(part, gap)
    return Check(
        runtime=subject.runtime,
        precision=subject.precision,
        batch=subject.batch,
        kind=subject.kind,
        output=subject.output,
        max_abs=gap.max_abs,
        relative=gap.relative if tolerances or is_floating(a) else gap.differing,
        yardstick=limits.yardstick,
        limit=limits.relative,
        worst=gap.worst,
        passed=passed,
        detail="" if passed else detail,
        peak=gap.peak,
        peak_limit=limits.peak,
        ratio=ratio,
        inputs=subject.inputs,
        part=part.name if part else "",
        part_relative=part.relative if part else 0.0,
        part_limit=part.limit if part else 0.0,
        histogram=counts,
    )


def _in_part(part: Part, gap: Distance) -> str:
    return (
        f"off by {part.relative:.1e} in {part.name}, {part.ratio:.3g} times the limit of {part.limit:.1e} "
        f"that rounding explains there; worst of all at {_at(gap.worst)}"
    )


def _rounding(gap: Distance, limits: Limits, ratio: float) -> str:
    off, limit, of = gap.relative, limits.relative, "of the output"
    if off / limit < gap.peak / limits.peak:
        off, limit, of = gap.peak, limits.peak, "of the largest element"
    return (
        f"off by {off:.1e} {of}, {ratio:.3g} times the limit of {limit:.1e} "
        f"that rounding explains; worst at {_at(gap.worst)}"
    )


def _flipped(gap: Distance, limits: Limits, ratio: float) -> str:
    allowed = f"{limits.relative:.1e}" if limits.relative else "none"
    return (
        f"{gap.differing:.1e} of the elements differ, rounding explains {allowed}; "
        f"the largest difference is at {_at(gap.worst)}"
    )


def _explicit(gap: Distance, limits: Limits, ratio: float) -> str:
    return f"{ratio:.3g} times the tolerance that was given; |a - b| is largest at {_at(gap.worst)}"


def _tolerance_ratio(a: Array, b: Array, tolerances: Tolerances) -> float:
    gap = np.abs(widened(a) - widened(b))
    allowed = tolerances.atol + tolerances.rtol * np.abs(widened(b))
    with np.errstate(divide="ignore", invalid="ignore"):
        share = np.where(gap == 0.0, 0.0, gap / allowed)
    return float(share.max())


def _share(part: float, whole: float) -> float:
    return 0.0 if part == 0.0 else part / whole if whole else math.inf


def _shape(subject: Subject, a: Array, b: Array) -> str:
    if a.shape == b.shape:
        return ""
    return f"batch {subject.batch}: shape {a.shape} against {b.shape}"


def _kind(subject: Subject, a: Array, b: Array) -> str:
    same = is_floating(a) == is_floating(b) and (a.dtype.kind == "b") == (b.dtype.kind == "b")
    return "" if same else f"dtype {a.dtype} against {b.dtype}"


def _empty(subject: Subject, a: Array, b: Array) -> str:
    return "" if a.size else f"nothing to compare: shape {a.shape} holds no element"


def _non_finite(subject: Subject, a: Array, b: Array) -> str:
    bad_a, bad_b = ~np.isfinite(widened(a)), ~np.isfinite(widened(b))
    either = bad_a | bad_b
    if not either.any():
        return ""
    place = tuple(int(i) for i in np.unravel_index(int(either.argmax()), either.shape))
    ours, theirs = subject.sides
    if bad_a[place] and bad_b[place]:
        who, value = f"{ours} and {theirs} both have", a[place]
    elif bad_a[place]:
        who, value = f"{ours} has", a[place]
    else:
        who, value = f"{theirs} has", b[place]
    return f"{who} {_spelt(value)} at {_at(place)} of output {subject.output!r}"


def _spelt(value: object) -> str:
    number = np.asarray(value, dtype=np.complex128)
    return "NaN" if np.isnan(number).any() else "Inf"


def _at(place: tuple[int, ...]) -> str:
    return str(list(place))
