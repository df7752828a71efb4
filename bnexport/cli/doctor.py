"""``bnexport doctor``."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from bnexport.cli.answer import Answer
from bnexport.cli.command import Command
from bnexport.cli.options import speech_options

if TYPE_CHECKING:
    from rich.console import Console

    from bnexport.cli.layout import Cell
    from bnexport.doctor import Finding

__all__ = ["doctor_command"]

SCHEMA = "bnexport.diagnosis/1"
ILL = ("clash", "broken")
MISSING_RUNTIME = 5


@click.command("doctor", cls=Command)
@speech_options
def doctor_command() -> Answer:
    """Say which runtimes are installed and usable here, and which packages clash.

    The exit code is 5 where packages clash or an installed runtime cannot be used.
    """
    from bnexport.doctor import diagnose
    from bnexport.report import versions

    findings = diagnose()
    ill = any(finding.status in ILL for finding in findings)
    document = {
        "schema": SCHEMA,
        "ok": not ill,
        "findings": [asdict(finding) for finding in findings],
        "versions": versions(),
    }
    return Answer(document, lambda console: _show(console, findings), MISSING_RUNTIME if ill else 0)


def _show(console: Console, findings: tuple[Finding, ...]) -> None:
    from bnexport.cli.layout import columns, rows

    table = columns("subject", "status", "detail", wide="detail", left=("subject", "status"))
    rows(console, table, _cells(findings))


def _cells(findings: tuple[Finding, ...]) -> Iterator[list[Cell]]:
    from rich.text import Text

    from bnexport.cli.layout import BAD, GOOD

    for finding in findings:
        style = BAD if finding.status in ILL else GOOD if finding.status == "ok" else "dim"
        yield [finding.subject, Text(finding.status, style), finding.detail]
        if finding.remedy:
            yield ["", "", Text(f"-> {finding.remedy}", "yellow")]
