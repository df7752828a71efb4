"""What the checks of a report come to: one run for each runtime, precision and batch size, and sentences.

The terminal, the pages and the tables that are made of a report all read it here, so that they cannot differ.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import groupby
from typing import Any

__all__ = [
    "KINDS",
    "Check",
    "Run",
    "failures",
    "held_against",
    "measured",
    "number",
    "ratio",
    "runs",
    "sentence",
    "size",
    "value",
]

Check = dict[str, Any]

KINDS = {
    "agreement": "disagrees",
    "alone": "differs when it runs alone",
    "neighbours": "moves with its neighbours in the batch",
    "moved": "depends on a sample's place in the batch",
    "graph": "mixes the samples of a batch",
}


@dataclass(frozen=True)
class Run:
    """The checks of one runtime at one precision and batch size.

    Attributes:
        runtime: As in the checks, like the two below.
        precision: See ``runtime``.
        batch: See ``runtime``.
        checks: One or more.
        explicit: Whether explicit tolerances were held against, so that an error is a multiple of them.
    """

    runtime: str
    precision: str
    batch: int
    checks: tuple[Check, ...]
    explicit: bool = False

    @property
    def passed(self) -> bool:
        """Whether every check passed."""
        return all(check["passed"] for check in self.checks)

    @property
    def independent(self) -> bool | None:
        """Whether each sample gives the same whatever its batch; None where that was not looked at."""
        verdicts = [check["passed"] for check in self.checks if check["kind"] != "agreement"]
        return all(verdicts) if verdicts else None

    @property
    def worst(self) -> Check | None:
        """Of the checks of agreement, the one that comes closest to failing."""
        agreement = [check for check in self.checks if check["kind"] == "agreement"]
        return max(agreement, key=ratio, default=None)

    @property
    def error(self) -> str:
        """The error of `worst`."""
        if self.worst is None:
            return "-"
        return f"{ratio(self.worst):.3g}" if self.explicit else number(self.worst["relative"])

    @property
    def limit(self) -> str:
        """What `error` was held against."""
        if self.worst is None:
            return "-"
        return "1" if self.explicit else number(self.worst["limit"])


def runs(parity: dict[str, Any]) -> list[Run]:
    """The checks of one run side by side, runs in the order in which they were made."""
    checks, explicit = parity["checks"], parity["multiple"] is None
    order = {run: place for place, run in reversed(list(enumerate(map(_run, checks))))}
    ordered = sorted(checks, key=lambda check: order[_run(check)])
    return [Run(*run, tuple(group), explicit) for run, group in groupby(ordered, _run)]


def failures(checks: Iterable[Check]) -> list[Check]:
    """The checks that failed."""
    return [check for check in checks if not check["passed"]]


def sentence(check: Check) -> str:
    """What one check found; of a failure, what is wrong."""
    where = f"{check['runtime']}, output {check['output']!r} at batch {check['batch']}"
    where += f" on {check['inputs']}" if check.get("inputs") else ""
    if check["passed"]:
        return f"{where}: {check['detail'] or 'within the limit'}"
    return f"{where} {KINDS.get(check['kind'], check['kind'])}: {check['detail']}"


def held_against(parity: dict[str, Any]) -> str:
    """What the outputs were held against, and by which rule."""
    held = f"held against {parity['reference']}"
    if parity["multiple"] is None:
        return f"{held}; error as a multiple of the tolerances given"
    return f"{held}; limit {value(parity['multiple']):g} x the model's own rounding"


def ratio(check: Check) -> float:
    """How much of its limit the error used: 1 or less passes, infinite where nothing could be measured."""
    if "ratio" in check:
        share = value(check["ratio"])
        return math.inf if math.isnan(share) else share
    error, limit = value(check["relative"]), value(check["limit"])
    return error / limit if limit else error


def measured(check: Check) -> bool:
    """Whether there were two arrays to subtract."""
    return math.isfinite(value(check["max_abs"]))


def value(given: float | str) -> float:
    """A number of a document, where NaN and the infinities are written as strings."""
    try:
        return float(given)
    except OverflowError:
        return math.inf


def number(given: float | str) -> str:
    """``given`` to two digits."""
    return f"{value(given):.1e}" if value(given) else "0"


def size(count: int) -> str:
    """``count`` bytes, in the unit that leaves at most three digits before the point."""
    if count < 1000:
        return f"{count} B"
    amount, unit = value(count), "B"
    for unit in ("B", "kB", "MB", "GB"):
        if amount < 1000 or unit == "GB":
            break
        amount /= 1000
    return f"{amount:.1f} {unit}"


def _run(check: Check) -> tuple[str, str, int]:
    return check["runtime"], check["precision"], check["batch"]
