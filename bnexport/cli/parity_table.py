"""The parity table: one line for each runtime, precision and batch size."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from typing import TYPE_CHECKING, Any

from rich.text import Text

from bnexport.cli.layout import BAD, GOOD, Cell, columns, fields, rows, words

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["show_parity"]

HEADERS = ("runtime", "dtype", "batch", "error", "limit", "independent", "")
KINDS = {
    "agreement": "disagrees",
    "alone": "differs when it runs alone",
    "neighbours": "moves with its neighbours in the batch",
    "moved": "depends on a sample's place in the batch",
    "graph": "mixes the samples of a batch",
}
FAILURES_SHOWN = 5

Check = dict[str, Any]


def show_parity(console: Console, parity: dict[str, Any]) -> None:
    """Print the verification that ``parity`` (the report's part of that name) records."""
    fields(console, [("agreement", _yardstick(parity))])
    runs = [list(group) for _, group in groupby(_sorted(parity["checks"]), _run)]
    if runs:
        rows(console, columns(*HEADERS, wide="runtime"), [_row(run, parity) for run in runs])
    fields(console, list(_failures(parity["checks"])))
    if parity.get("located"):
        fields(console, [("starts in", parity["located"])])
    fields(console, [("skipped", f"{s['runtime']}: {s['reason']}") for s in parity["skipped"]])


def _yardstick(parity: dict[str, Any]) -> str:
    held = f"held against {parity['reference']}"
    if parity["multiple"] is None:
        return f"{held}; error as a multiple of the tolerances given"
    return f"{held}; limit {parity['multiple']:g} x the model's own rounding"


def _run(check: Check) -> tuple[str, str, int]:
    return check["runtime"], check["precision"], check["batch"]


def _sorted(checks: list[Check]) -> list[Check]:
    """The checks of one run side by side, runs in the order in which they were made."""
    order = {run: place for place, run in reversed(list(enumerate(map(_run, checks))))}
    return sorted(checks, key=lambda check: order[_run(check)])


def _row(run: list[Check], parity: dict[str, Any]) -> list[Cell]:
    runtime, precision, batch = _run(run[0])
    error, limit = _worst([c for c in run if c["kind"] == "agreement"], parity["multiple"] is None)
    passed = all(check["passed"] for check in run)
    verdict = Text("ok", GOOD) if passed else Text("FAIL", BAD)
    return [runtime, precision, str(batch), error, limit, _batch_free(run), verdict]


def _worst(checks: list[Check], explicit: bool) -> tuple[str, str]:
    """The error and the limit of the output that comes closest to failing."""
    if not checks:
        return "-", "-"
    worst = max(checks, key=_ratio)
    if explicit:
        return f"{_ratio(worst):.3g}", "1"
    return _number(worst["relative"]), _number(worst["limit"])


def _ratio(check: Check) -> float:
    if "ratio" in check:
        return float(check["ratio"])
    error, limit = float(check["relative"]), float(check["limit"])
    return error / limit if limit else error


def _number(value: float | str) -> str:
    return f"{float(value):.1e}" if float(value) else "0"


def _batch_free(run: list[Check]) -> Cell:
    verdicts = [check["passed"] for check in run if check["kind"] != "agreement"]
    if not verdicts:
        return "-"
    return Text("yes", GOOD) if all(verdicts) else Text("NO", BAD)


def _failures(checks: list[Check]) -> Iterator[tuple[str, Text]]:
    failures = [check for check in checks if not check["passed"]]
    for check in failures[:FAILURES_SHOWN]:
        where = f"{check['runtime']}, output {check['output']!r} at batch {check['batch']}"
        text = words(f"{where} {KINDS[check['kind']]}: {check['detail']}")
        yield "failed", text
    if len(failures) > FAILURES_SHOWN:
        yield "", Text(f"and {len(failures) - FAILURES_SHOWN} more: the report lists every check")
