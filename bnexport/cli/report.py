"""``bnexport report``: what can be made of a saved report."""

from __future__ import annotations

import click

from bnexport.cli.command import Group

__all__ = ["report_command"]

COMMANDS = {
    "show": (
        "bnexport.cli.report_show",
        "Show it, or write it as a page, a table or test results.",
    ),
    "rejudge": ("bnexport.cli.report_rejudge", "Judge its errors by other limits; nothing runs."),
}


@click.group("report", cls=Group, commands_at=COMMANDS)
def report_command() -> None:
    """Work on a saved JSON report: OUT.report.json, or what --json printed."""
