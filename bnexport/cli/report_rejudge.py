"""``bnexport report rejudge``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from bnexport.cli.answer import Answer
from bnexport.cli.command import Command
from bnexport.cli.options import speech_options
from bnexport.cli.report_show import show_report
from bnexport.cli.reports import check_reports, report_option, write_reports

if TYPE_CHECKING:
    from bnexport.report.forms import Wanted

__all__ = ["rejudge_command"]

NOT_NEGATIVE = click.FloatRange(min=0)


@click.command("rejudge", cls=Command)
@click.argument("saved", metavar="REPORT")
@click.option(
    "--multiple",
    type=click.FloatRange(min=0, min_open=True),
    metavar="X",
    help="How many times the model's own rounding a runtime may err by.",
)
@click.option("--atol", type=NOT_NEGATIVE, metavar="A", help="Absolute tolerance, instead.")
@click.option("--rtol", type=NOT_NEGATIVE, metavar="R", help="Relative tolerance, instead.")
@report_option
@speech_options
@click.pass_context
def rejudge_command(
    ctx: click.Context,
    /,
    saved: str,
    multiple: float | None,
    atol: float | None,
    rtol: float | None,
    report: tuple[Wanted, ...],
) -> Answer:
    """Judge the recorded errors of REPORT by other limits, without running a model.

    The exit code is 1 where it does not pass. What the report does not keep enough of is an error:
    it keeps the largest difference of an output, not every element's.
    """
    tolerant = atol is not None or rtol is not None
    if (multiple is not None) == tolerant:
        raise click.UsageError("Give either --multiple, or --atol and --rtol.", ctx)
    check_reports(report, saved)
    from bnexport.report.rejudge import Multiple, Tolerances, rejudged
    from bnexport.report.saved import read_report

    rule = Tolerances(atol or 0.0, rtol or 0.0) if multiple is None else Multiple(multiple)
    document = rejudged(read_report(Path(saved)), rule)
    write_reports(report, document)
    code = 0 if document["ok"] else 1
    shown = {**document, "files": []}  # nothing is written: what was is another run's
    return Answer(document, lambda console: show_report(console, shown), code)
