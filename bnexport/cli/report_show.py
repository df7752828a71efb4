"""``bnexport report show``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bnexport.cli.answer import Answer
from bnexport.cli.command import Command
from bnexport.cli.options import speech_options
from bnexport.cli.reports import KINDS, check_reports, write_reports

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["show_command", "show_report"]


@click.command("show", cls=Command)
@click.argument("report")
@click.option(
    "--format",
    "kind",
    type=click.Choice(KINDS),
    help="The form to render it in.  [default: as the command showed it]",
)
@click.option("-o", "--output", metavar="PATH", help="The file to write.  [default: stdout]")
@speech_options
@click.pass_context
def show_command(
    ctx: click.Context, /, report: str, kind: str | None, output: str | None
) -> Answer:
    """Show REPORT, a JSON report, or render it. Nothing runs, and the exit code is 0 for a failure, too."""
    if output is not None and kind is None:
        raise click.UsageError(f"Missing option '--format' [{'|'.join(KINDS)}] for -o.", ctx)
    from bnexport.report.forms import Wanted, rendered
    from bnexport.report.saved import read_report

    if output is not None and kind is not None:
        wanted = [Wanted(kind, Path(output))]
        check_reports(wanted, report)
        document = read_report(Path(report))
        write_reports(wanted, document)
        return Answer(document, lambda console: None)
    document = read_report(Path(report))
    if kind is None:
        return Answer(document, lambda console: show_report(console, document))
    text = rendered(kind, document)
    # Bytes: a terminal's encoding may lack what the text, which names its own, has.
    return Answer(document, lambda console: click.echo(text.encode(), file=console.file, nl=False))


def show_report(console: Console, document: dict[str, Any]) -> None:
    """Print the document as the command that made it did; of a failure, no files: they may not have been kept."""
    from bnexport.cli.summary import show_parity, show_summary

    if "source" in document:
        show_summary(console, document if document["ok"] else {**document, "files": []})
    else:
        show_parity(console, document["parity"])
