"""Rounds in which every contestant takes its turn, so that what drifts hits all of them alike."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

__all__ = ["Budget", "Timed", "measure", "orders", "warm_up"]

Rounds = list[list[float]]

# A turn begins with one run that is not timed: it brings back what the others' runs put out of the caches, and
# outlasts the threads of theirs that still spin for work.
_SETTLE = 1
_TURN = 0.02  # seconds of the slowest one's timed runs in a turn, if one is not longer
_MOST_RUNS = 50  # a turn
_WARM_SECONDS = 1.0


class Timed(Protocol):
    """What takes part."""

    def run(self) -> None:
        """Run once, to its end."""
        ...

    def timed(self) -> float:
        """Run once, to its end, and say how many seconds it took."""
        ...


@dataclass(frozen=True)
class Budget:
    """How long to go on at each batch size.

    Attributes:
        rounds: So many; None: as many as fit in ``seconds``, and six at least.
        seconds: What the rounds may take; None: no limit, with ``rounds``.
        warmup: Runs before the first round; fewer, but three at least, where they take a second.
        runs: Timed runs in a turn; None: as many as make the slowest one's turn last 20 ms.
        seed: Of the orders.
    """

    rounds: int | None = None
    seconds: float | None = 10.0
    warmup: int = 10
    runs: int | None = None
    seed: int = 0


# From six on, the range of the ratios holds their median with more than 95 %.
FEWEST = 6


def orders(count: int, seed: int) -> Iterator[tuple[int, ...]]:
    """The order of each round: drawn for the even ones, and turned round for the one that follows.

    So in two rounds each contestant stands as often before any other as behind it.
    """
    draw = random.Random(seed)
    places = list(range(count))
    while True:
        draw.shuffle(places)
        yield tuple(places)
        yield tuple(reversed(places))


def warm_up(contestant: Timed, runs: int) -> float:
    """Run it until it has settled; the seconds of the fastest run."""
    taken: list[float] = []
    while len(taken) < 3 or (len(taken) < runs and sum(taken) < _WARM_SECONDS):
        taken.append(contestant.timed())
    return min(taken)


def measure(
    contestants: Sequence[Timed],
    budget: Budget,
    tell: Callable[[float], None] = lambda done: None,
    clock: Callable[[], float] = time.perf_counter,
) -> list[Rounds]:
    """The seconds of every timed run, of each contestant, by rounds.

    Args:
        contestants: Ready to run.
        budget: When to end.
        tell: Told how much is done.
        clock: What measures the budget.
    """
    slowest = max(warm_up(each, budget.warmup) for each in contestants)
    runs = budget.runs or max(1, min(_MOST_RUNS, round(_TURN / max(slowest, 1e-9))))
    found: list[Rounds] = [[] for _ in contestants]
    start = clock()
    for done, order in enumerate(orders(len(contestants), budget.seed)):
        spent = clock() - start
        if _over(budget, done, spent):
            break
        tell(_share(budget, done, spent))
        for place in order:
            found[place].append(_turn(contestants[place], runs))
    return found


def _turn(contestant: Timed, runs: int) -> list[float]:
    for _ in range(_SETTLE):
        contestant.run()
    return [contestant.timed() for _ in range(runs)]


def _over(budget: Budget, done: int, spent: float) -> bool:
    if budget.rounds is not None and done >= budget.rounds:
        return True
    late = budget.seconds is not None and spent >= budget.seconds
    return late and done >= min(FEWEST, budget.rounds or FEWEST)


def _share(budget: Budget, done: int, spent: float) -> float:
    by_time = spent / budget.seconds if budget.seconds else 0.0
    return min(1.0, max(by_time, done / budget.rounds if budget.rounds else 0.0))
