"""Whole processes by turns: wall and processor time and peak memory of each, in every round once.

The order is turned round from round to round; ratios are taken within a round, so that what drifts on a shared
machine does not enter them.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Run", "by_turns", "median", "once", "ratio"]

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Run:
    """One process and those that it waited for.

    Attributes:
        wall: Seconds.
        cpu: Seconds of processor time, user and system.
        peak: The largest resident set of one of them, in megabytes.
    """

    wall: float
    cpu: float
    peak: float


class Failed(Exception):
    """A command did not succeed; its output is the message."""


def once(command: Sequence[str], log: Path) -> Run:
    """Run it.

    Raises:
        Failed: It exited with another code than 0.
    """
    environment = {**os.environ, "PYTHONPATH": str(HERE)}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)  # what is installed is compiled
    start = time.perf_counter()
    with log.open("w") as file:
        process = subprocess.Popen(command, stdout=file, stderr=file, env=environment)
        _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise Failed(f"{' '.join(command)}: {process.returncode}\n{log.read_text()[-2000:]}")
    wall = time.perf_counter() - start
    return Run(wall, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024)


def by_turns(
    commands: Mapping[str, Sequence[str]], rounds: int, log: Path
) -> dict[str, list[Run | None]]:
    """So many rounds; None where a command failed, which is told once."""
    found: dict[str, list[Run | None]] = {name: [] for name in commands}
    failed: set[str] = set()
    for number in range(rounds):
        order = list(commands)
        for name in order if number % 2 == 0 else reversed(order):
            run = None
            if name not in failed:
                try:
                    run = once(commands[name], log)
                except Failed as failure:
                    failed.add(name)
                    print(failure, file=sys.stderr)
            found[name].append(run)
            if run:
                text = (
                    f"{name:40} wall {run.wall:7.2f}  cpu {run.cpu:7.2f}  peak {run.peak:7.0f} MB"
                )
                print(f"{number + 1}  {text}", file=sys.stderr, flush=True)
    return found


def median(runs: Sequence[Run | None], what: str) -> float | None:
    """Of ``wall``, ``cpu`` or ``peak``; None where nothing ran."""
    known = [getattr(run, what) for run in runs if run]
    return statistics.median(known) if known else None


def ratio(runs: Sequence[Run | None], base: Sequence[Run | None], what: str) -> float | None:
    """The median of the rounds' ratios."""
    pairs = [(a, b) for a, b in zip(runs, base, strict=True) if a and b]
    if not pairs:
        return None
    return statistics.median(getattr(a, what) / getattr(b, what) for a, b in pairs)
