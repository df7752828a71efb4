"""The parity table: one line for each runtime, precision and batch size."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from rich.text import Text

from bnexport.cli.layout import BAD, GOOD, Cell, columns, fields, rows, words
from bnexport.report.runs import Check, Run, failures, held_against, runs, sentence

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["show_parity"]

HEADERS = ("runtime", "dtype", "batch", "error", "limit", "independent", "")
FAILURES_SHOWN = 5


def show_parity(console: Console, parity: dict[str, Any]) -> None:
    """Print the verification that ``parity`` (the report's part of that name) records."""
    fields(console, [("agreement", held_against(parity))])
    made = runs(parity)
    if made:
        rows(console, columns(*HEADERS, wide="runtime"), [_row(run) for run in made])
    fields(console, list(_failures(parity["checks"])))
    if parity.get("located"):
        fields(console, [("starts in", parity["located"])])
    fields(console, [("skipped", f"{s['runtime']}: {s['reason']}") for s in parity["skipped"]])


def _row(run: Run) -> list[Cell]:
    verdict = Text("ok", GOOD) if run.passed else Text("FAIL", BAD)
    batch_free = _batch_free(run.independent)
    return [run.runtime, run.precision, str(run.batch), run.error, run.limit, batch_free, verdict]


def _batch_free(independent: bool | None) -> Cell:
    if independent is None:
        return "-"
    return Text("yes", GOOD) if independent else Text("NO", BAD)


def _failures(checks: list[Check]) -> Iterator[tuple[str, Text]]:
    failed = failures(checks)
    for check in failed[:FAILURES_SHOWN]:
        yield "failed", words(sentence(check))
    if len(failed) > FAILURES_SHOWN:
        yield "", Text(f"and {len(failed) - FAILURES_SHOWN} more: the report lists every check")
