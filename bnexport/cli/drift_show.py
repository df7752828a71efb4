"""``bnexport drift show``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bnexport.cli.answer import Answer
from bnexport.cli.command import Command
from bnexport.cli.drift_table import answer_of, limit_options
from bnexport.cli.options import speech_options
from bnexport.cli.reports import check_reports, report_option_of

if TYPE_CHECKING:
    from rich.console import Console

    from bnexport.report.forms import Wanted

__all__ = ["show_command"]


@click.command("show", cls=Command)
@click.argument("state")
@limit_options
@click.option(
    "--prometheus",
    is_flag=True,
    help="Print metrics in Prometheus's text format; the exit code is 0.",
)
@report_option_of(("html",))
@speech_options
def show_command(
    state: str,
    alpha: float,
    threshold: float,
    every_layer: bool,
    prometheus: bool,
    report: tuple[Wanted, ...],
) -> Answer:
    """Judge the STATE that a monitor, `drift --state` or `drift merge` wrote. Exit code 1 where a layer drifted."""
    check_reports(report, state)
    from bnexport.drift.judge import judge
    from bnexport.drift.state import DriftState

    read = DriftState.read(Path(state))
    if prometheus:
        return _metrics(read)
    found = judge(read, alpha=alpha, threshold=threshold)
    about: dict[str, Any] = {"model": None, "data": None, "notes": [], "state": state}
    return answer_of(found, about, report, every=every_layer)


def _metrics(read: Any) -> Answer:
    from bnexport.drift.prometheus import exposition

    page = exposition(read)

    def show(console: Console) -> None:
        console.file.write(page)

    return Answer({"schema": "bnexport.drift-metrics/1", "text": page}, show)
