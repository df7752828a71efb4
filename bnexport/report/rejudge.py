"""Judge the recorded errors of a report by another rule, without running anything.

A report keeps a few numbers of each check, not its arrays. So the new ratio of error to limit is known
between two bounds, and a check is judged only where both are on one side of 1. What is not a matter of
limits stays as recorded: what could not be measured, an operator seen to mix samples, and the model in
its own arithmetic, which agrees by definition.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

from bnexport.errors import Refused, UsageError
from bnexport.report.runs import Check, failures, measured, ratio, value

__all__ = ["Multiple", "NotRecorded", "Rule", "Tolerances", "rejudged"]

Document = dict[str, Any]

# As in `parity.yardstick`, which cannot be imported without torch: no limit is above this share of the
# reference's level over all the runs that the yardstick was pooled over, these many of the largest batch among them.
CEILING = 0.1
NUDGES = 4
# How `parity.examine` ends the sentence of a sample that moved, where no operator was seen to be the cause.
CAUSE = "something computes over the batch, such as a BatchNorm with batch statistics"
AGAIN = "Run `bnexport verify` again, with the limits that you want"
OWN = "PyTorch "
ANEW = "judged anew, from recorded errors"


class NotRecorded(Refused):
    """The report does not keep what the new rule asks for."""


class Rule(Protocol):
    """Another way to judge."""

    @property
    def label(self) -> str:
        """What it asks."""
        ...

    @property
    def multiple(self) -> float | None:
        """For the report's field of that name."""
        ...

    def bounds(self, check: Check, report: Document) -> tuple[float, float]:
        """Between what two values the check's ratio of error to limit is."""
        ...

    def limits(self, check: Check, report: Document) -> tuple[float, float]:
        """For the report's ``limit`` and ``peak_limit``: what is surely allowed."""
        ...


@dataclass(frozen=True)
class Multiple:
    """``multiple`` times the model's own rounding, in place of the recorded multiple of it."""

    multiple: float

    @property
    def label(self) -> str:
        """What it asks."""
        return f"{self.multiple:g} x the model's own rounding"

    def bounds(self, check: Check, report: Document) -> tuple[float, float]:
        """Every measure counts; whichever is worst."""
        relative, peak = self._ranges(check, report)
        off, far = value(check["relative"]), value(check["peak"])
        if not value(
            check["peak_limit"]
        ):  # of integers, whose share that differs is all that counts
            return _share(off, relative[1]), _share(off, relative[0])
        part = self._part(check, report)
        return (
            max(_share(off, relative[1]), _share(far, peak[1]), part),
            max(_share(off, relative[0]), _share(far, peak[0]), part),
        )

    def limits(self, check: Check, report: Document) -> tuple[float, float]:
        """The lower ends."""
        relative, peak = self._ranges(check, report)
        return relative[0], peak[0]

    def _part(self, check: Check, report: Document) -> float:
        """The channel that errs the most: its limit is never cut off, and an older report has none."""
        if not check.get("part"):
            return 0.0
        scale = self.multiple / value(report["parity"]["multiple"])
        return _share(value(check["part_relative"]), value(check["part_limit"]) * scale)

    def _ranges(
        self, check: Check, report: Document
    ) -> tuple[tuple[float, float], tuple[float, float]]:
        """Between what two values each of the new limits is."""
        recorded = report["parity"]["multiple"]
        if recorded is None or not value(recorded) > 0:
            why = "it was made with explicit tolerances, and keeps no limit that rounding gives"
            raise NotRecorded("--multiple cannot be applied to this report", why, AGAIN)
        if "peak" not in check or "peak_limit" not in check:
            why = "it keeps no largest error (`peak`)"
            raise NotRecorded("--multiple cannot be applied to this report", why, AGAIN)
        scale, sure = self.multiple / value(recorded), _sure(report["parity"]["batches"])
        limit, peak_limit = value(check["limit"]), value(check["peak_limit"])
        if not peak_limit:
            return _counted(limit, scale), (0.0, 0.0)
        unscaled = value(check["yardstick"]) * value(recorded)
        if math.isclose(limit, unscaled, rel_tol=1e-9) and scale <= 1:
            return (limit * scale, limit * scale), _scaled(peak_limit, scale, sure)
        return _scaled(limit, scale, sure), _scaled(peak_limit, scale, sure)


@dataclass(frozen=True)
class Tolerances:
    """|a - b| <= atol + rtol |b| in every element."""

    atol: float = 0.0
    rtol: float = 0.0
    multiple: ClassVar[None] = None

    @property
    def label(self) -> str:
        """What it asks."""
        return f"|a - b| <= {self.atol:g} + {self.rtol:g} |b|"

    def bounds(self, check: Check, report: Document) -> tuple[float, float]:
        """From the largest difference and the largest |b|; closer where tolerances were given before."""
        most = value(check["max_abs"])
        peak = value(check.get("peak", 0.0))
        largest = most / peak if peak > 0 else math.inf
        spread = self.rtol * largest if self.rtol else 0.0
        low, high = _share(most, self.atol + spread), _share(most, self.atol)
        options = report.get("options", {})
        before = options.get("atol"), options.get("rtol")
        if report["parity"]["multiple"] is None and before != (None, None):
            factors = _factors((self.atol, self.rtol), [value(each or 0.0) for each in before])
            low = max(low, _share(ratio(check), max(factors)) if factors else 0.0)
            high = min(high, _share(ratio(check), min(factors)) if factors else math.inf)
        return low, high

    def limits(self, check: Check, report: Document) -> tuple[float, float]:
        """One: the error is then a multiple of the tolerances."""
        return 1.0, 1.0


def rejudged(report: Document, rule: Rule) -> Document:
    """The report as ``rule`` would have had it; the recorded one is not changed.

    Raises:
        UsageError: The rule asks for a limit that is no number above zero.
        NotRecorded: What is recorded does not decide every check.
    """
    numbers = (getattr(rule, name, 1.0) for name in ("atol", "rtol"))
    multiple = rule.multiple
    above = 1.0 if multiple is None else multiple
    if not all(0 <= n < math.inf for n in numbers) or not 0 < above < math.inf:
        raise UsageError(f"limits {rule.label}", "they must be finite and not negative")
    if any(note.startswith(ANEW) for note in report.get("notes", ())):
        why = "the limits that it keeps may be bounds"
        raise NotRecorded("the report was judged anew before", why, "Give the one it was made of")
    parity = report["parity"]
    recorded = [check for check in parity["checks"] if _is_judged(check, rule)]
    checks = [_again(check, rule, report) for check in recorded]
    _refuse_undecided(recorded, checks)
    made = [check for check in checks if check is not None]
    ok = bool(made) and not failures(made)
    start = {} if _disagrees(made) else {"located": "", "origin": None}
    judged = {**parity, "ok": ok, "checks": made, "multiple": multiple, **start}
    note = f"{ANEW}: {rule.label}"
    return {
        **report,
        "ok": ok,
        "parity": judged,
        "options": {**report.get("options", {}), **_tolerances(rule)},
        "notes": [*report.get("notes", ()), note],
    }


def _is_judged(check: Check, rule: Rule) -> bool:
    """Tolerances are for the usual inputs: with them the others are left out, as a verification leaves them out."""
    return not (isinstance(rule, Tolerances) and check.get("inputs"))


def _again(check: Check, rule: Rule, report: Document) -> Check | None:
    """The check as the rule has it; None where that cannot be told."""
    if _settled(check) or (isinstance(rule, Tolerances) and _independent(check)):
        return check
    low, high = rule.bounds(check, report) if value(check["max_abs"]) else (0.0, 0.0)
    own = _is_own(check)
    if low <= 1 < high and not own:
        return None
    passed = high <= 1 or own
    share = high if high <= 1 else low
    exact = "" if math.isclose(low, high, rel_tol=1e-9) else "at least "
    detail = f"off by {value(check['relative']):.1e}, {exact}{share:.3g} times the new limit"
    if not passed and check["detail"]:
        detail += f"; as recorded: {check['detail']}"
    limit, peak_limit = rule.limits(check, report) if value(check["max_abs"]) else _kept(check)
    numbers = {"limit": limit, "peak_limit": peak_limit, "ratio": share}
    return {**check, **numbers, "passed": passed, "detail": "" if passed else detail}


def _settled(check: Check) -> bool:
    """Whether the verdict is the same whatever the limits are."""
    if check["kind"] == "graph" or not measured(check):
        return True
    if check["kind"] == "agreement":
        return False
    # A sample moved, and the operator that mixes them was seen: a smaller movement would not acquit it.
    return not check["passed"] and not check["detail"].endswith(CAUSE)


def _independent(check: Check) -> bool:
    """Whether a sample kept to what rounding explains: tolerances below that do not accuse it."""
    by_tolerances = value(check["limit"]) == 1.0
    return bool(check["kind"] != "agreement" and check["passed"] and not by_tolerances)


def _is_own(check: Check) -> bool:
    """Whether it is the model in its own arithmetic that agreed."""
    own = check["kind"] == "agreement" and check["runtime"].startswith(OWN)
    return bool(own and check["passed"])


def _kept(check: Check) -> tuple[float, float]:
    return value(check["limit"]), value(check.get("peak_limit", 0.0))


def _refuse_undecided(checks: list[Check], again: list[Check | None]) -> None:
    open_ = [old for old, new in zip(checks, again, strict=True) if new is None]
    if open_:
        first = open_[0]
        where = f"{first['runtime']}, output {first['output']!r} at batch {first['batch']}"
        raise NotRecorded(
            f"{len(open_)} of {len(checks)} checks cannot be judged from the report",
            f"what it keeps ({where}, {first['kind']}: largest difference "
            f"{value(first['max_abs']):.3g}) allows both verdicts",
            AGAIN,
        )


def _disagrees(checks: Iterable[Check]) -> bool:
    return any(check["kind"] == "agreement" for check in failures(checks))


def _tolerances(rule: Rule) -> Document:
    given = isinstance(rule, Tolerances)
    return {name: getattr(rule, name) if given else None for name in ("atol", "rtol")}


def _sure(batches: list[int]) -> float:
    """Below this no limit was cut off: CEILING of the pooled level, which one sample of all may have to itself."""
    pooled = sum(batches) + NUDGES * max(batches, default=1)
    return CEILING / math.sqrt(max(1, pooled))


def _scaled(limit: float, scale: float, sure: float) -> tuple[float, float]:
    """Between what two values a limit is, now ``scale`` times as wide: it may be, or become, cut off."""
    wide = limit * scale
    if scale == 1 or max(limit, wide) <= sure:
        return wide, wide
    return (wide, limit) if scale < 1 else (max(limit, min(wide, sure)), wide)


def _counted(limit: float, scale: float) -> tuple[float, float]:
    """Of integers: whole elements, of a number that is not recorded."""
    if scale == 1:
        return limit, limit
    return (0.0, limit) if scale < 1 else (limit, max(limit, CEILING))


def _factors(new: Iterable[float], old: Iterable[float]) -> list[float]:
    """By how much each part of the tolerances grew; a part that is zero before and after says nothing."""
    return [_share(n, o) for n, o in zip(new, old, strict=True) if n or o]


def _share(part: float, whole: float) -> float:
    return 0.0 if part == 0.0 else part / whole if whole else math.inf
