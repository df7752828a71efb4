"""Time two files against each other, on a machine that others use as well.

A round runs ours, theirs, theirs, ours, and gives one ratio of processor time and one of wall time: what drifts
evenly cancels, and each follows itself as often as it follows the other. A block is some rounds of one pair of
sessions: where a session's buffers and threads come to lie is luck, and moves its time by some percent, so every
block makes them anew, in turn ours or theirs first. What is reported is the median over the blocks' medians.
"""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

__all__ = ["Ratio", "interval", "measure"]

BLOCK = 1.5  # seconds of a block, if one round is not longer
FEWEST = 6  # blocks: from 6 on, their whole range holds the median with more than 95 %
WIDTH = 0.01  # either side of the median, as a part of it: where the blocks end

Run = Callable[[], object]


@dataclass(frozen=True)
class Ratio:
    """Ours over theirs.

    Attributes:
        blocks: How many pairs of sessions there were.
        rounds: How many rounds in all.
        cpu: The ratio of processor time: the median over the blocks.
        cpu_quartiles: The first and third quartile over all rounds.
        cpu_interval: Holds the median over the blocks with 95 %.
        wall: As ``cpu``, of wall time.
        wall_quartiles: As ``cpu_quartiles``, of wall time.
        ours_ms: The median wall time of one of our runs.
    """

    blocks: int
    rounds: int
    cpu: float
    cpu_quartiles: tuple[float, float]
    cpu_interval: tuple[float, float]
    wall: float
    wall_quartiles: tuple[float, float]
    ours_ms: float


@dataclass(frozen=True)
class Round:
    """One round's ratios, and the wall seconds of one run of ours."""

    cpu: float
    wall: float
    ours: float


def measure(load_ours: Callable[[], Run], load_theirs: Callable[[], Run], budget: float) -> Ratio:
    """Blocks until the ratio of processor time is known to `WIDTH`, or ``budget`` seconds are spent."""
    blocks: list[list[Round]] = []
    start = time.perf_counter()
    while len(blocks) < FEWEST or (
        time.perf_counter() - start < budget and not _known(_medians(blocks, "cpu"))
    ):
        if len(blocks) % 2:
            ours, theirs = load_ours(), load_theirs()
        else:
            theirs, ours = load_theirs(), load_ours()
        blocks.append(_block(ours, theirs))
    return _summary(blocks)


def interval(numbers: Sequence[float]) -> tuple[float, float]:
    """The 95 % interval of the median, by the binomial distribution of how many lie below it."""
    ordered, n = sorted(numbers), len(numbers)
    below, k = 0.5**n, 0
    while k + 1 < n / 2 and below + math.comb(n, k + 1) * 0.5**n <= 0.025:
        k += 1
        below += math.comb(n, k) * 0.5**n
    return ordered[k], ordered[n - 1 - k]


def _block(ours: Run, theirs: Run) -> list[Round]:
    ours(), theirs()  # the first run of a session reserves its memory
    rounds: list[Round] = []
    start = time.perf_counter()
    while not rounds or time.perf_counter() - start < BLOCK:
        a, b, c, d = (_timed(run) for run in (ours, theirs, theirs, ours))
        cpu, wall = (a[0] + d[0]) / (b[0] + c[0]), (a[1] + d[1]) / (b[1] + c[1])
        rounds.append(Round(cpu, wall, (a[1] + d[1]) / 2))
    return rounds


def _timed(run: Run) -> tuple[float, float]:
    """Processor and wall seconds."""
    cpu, wall = time.process_time(), time.perf_counter()
    run()
    return time.process_time() - cpu, time.perf_counter() - wall


def _summary(blocks: Sequence[Sequence[Round]]) -> Ratio:
    rounds = [each for block in blocks for each in block]
    return Ratio(
        blocks=len(blocks),
        rounds=len(rounds),
        cpu=statistics.median(_medians(blocks, "cpu")),
        cpu_quartiles=_quartiles([each.cpu for each in rounds]),
        cpu_interval=interval(_medians(blocks, "cpu")),
        wall=statistics.median(_medians(blocks, "wall")),
        wall_quartiles=_quartiles([each.wall for each in rounds]),
        ours_ms=1000 * statistics.median(each.ours for each in rounds),
    )


def _medians(blocks: Sequence[Sequence[Round]], name: str) -> list[float]:
    return [statistics.median(getattr(each, name) for each in block) for block in blocks]


def _known(ratios: Sequence[float]) -> bool:
    low, high = interval(ratios)
    middle = statistics.median(ratios)
    return max(high - middle, middle - low) <= WIDTH * middle


def _quartiles(numbers: Sequence[float]) -> tuple[float, float]:
    first, _, third = statistics.quantiles(numbers, n=4, method="inclusive")
    return first, third
