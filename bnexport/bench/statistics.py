"""What is told of a contestant's times: quantiles, and its ratio to another's, round by round.

A machine that others use drifts. Two medians of two stretches of time carry that drift; the ratio within a round does
not, for both ran in it. So the ratio that is told is the median of the rounds' ratios, and its interval is that of a
median by order statistics, which assumes no distribution: of n rounds, as many lie below the true median as heads fall
in n throws of a coin.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

__all__ = ["Latency", "Ratio", "interval", "latency", "quantile", "ratio"]

_COVERAGE = 0.95


@dataclass(frozen=True)
class Latency:
    """Of one run, in seconds.

    Attributes:
        runs: How many were timed.
        median: Half of them took less.
        mean: Their mean.
        least: The shortest.
        most: The longest.
        p95: 95 % took less; None: fewer than 20 runs say nothing of that.
        p99: 99 % took less; None: fewer than 100 runs.
    """

    runs: int
    median: float
    mean: float
    least: float
    most: float
    p95: float | None
    p99: float | None


@dataclass(frozen=True)
class Ratio:
    """A contestant's time over the first one's, in the same round.

    Attributes:
        rounds: How many ratios there were.
        median: Their median; above 1: slower than the first.
        low: The interval holds the true median with 95 %; None: of fewer than six rounds there is none.
        high: See ``low``.
    """

    rounds: int
    median: float
    low: float | None
    high: float | None


def latency(seconds: Sequence[float]) -> Latency:
    """The summary of at least one time."""
    times = np.asarray(seconds, np.float64)
    return Latency(
        runs=len(times),
        median=float(np.median(times)),
        mean=float(times.mean()),
        least=float(times.min()),
        most=float(times.max()),
        p95=quantile(times, 0.95),
        p99=quantile(times, 0.99),
    )


def quantile(times: Sequence[float] | np.ndarray, share: float) -> float | None:
    """The value below which ``share`` of the times lie; None where there are too few for one to lie above it."""
    # 1 - 0.95 is a little above a twentieth.
    if len(times) * (1 - share) < 1 - 1e-9:
        return None
    return float(np.quantile(np.asarray(times, np.float64), share))


def ratio(ours: Sequence[Sequence[float]], first: Sequence[Sequence[float]]) -> Ratio:
    """Round by round: the median of our runs in it, over that of the first contestant's.

    Args:
        ours: The times of each round.
        first: Of the same rounds.
    """
    pairs = zip(ours, first, strict=True)
    ratios = [float(np.median(a) / np.median(b)) for a, b in pairs]
    low, high = interval(ratios) or (None, None)
    return Ratio(len(ratios), float(np.median(ratios)), low, high)


def interval(numbers: Sequence[float]) -> tuple[float, float] | None:
    """The 95 % interval of the median, by the binomial distribution of how many numbers lie below it.

    None where even the whole range holds it with less, as of five numbers.
    """
    ordered, n = sorted(numbers), len(numbers)
    tail, below, count = (1 - _COVERAGE) / 2, 0.0, 0
    while count < n / 2 and (below := below + _heads(count, n)) <= tail:
        count += 1
    return (ordered[count - 1], ordered[n - count]) if count else None


def _heads(count: int, throws: int) -> float:
    """The probability of so many heads; by logarithms, for 2 ** -throws is 0 from 1,075 throws on."""
    ways = math.lgamma(throws + 1) - math.lgamma(count + 1) - math.lgamma(throws - count + 1)
    return math.exp(ways - throws * math.log(2))
