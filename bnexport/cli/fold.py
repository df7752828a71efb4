"""``bnexport fold``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from bnexport.cli.answer import Answer
from bnexport.cli.command import Command
from bnexport.cli.mode import Mode
from bnexport.cli.options import (
    input_options,
    isolation_of,
    isolation_options,
    limit_option,
    speech_options,
    tolerance_options,
)
from bnexport.cli.progress import progress
from bnexport.cli.reports import (
    check_reports,
    report_option,
    show_written,
    write_reports,
    written_on_failure,
)

if TYPE_CHECKING:
    from rich.console import Console

    from bnexport.report.forms import Wanted

__all__ = ["fold_command"]


@click.command("fold", cls=Command)
@click.argument("model")
@click.option(
    "-o", "--output", metavar="PATH", help="The file to write.  [default: NAME.folded.onnx]"
)
@input_options
@click.option(
    "--external-data/--no-external-data",
    default=None,
    help="Keep the weights in a file beside the ONNX file.  [default: above 2 GB]",
)
@click.option("--no-simplify", is_flag=True, help="Leave out onnxsim.")
@limit_option
@tolerance_options
@click.option(
    "--keep-failed", is_flag=True, help="Keep what failed verification, under another name."
)
@click.option("--ledger", is_flag=True, help="Print what became of each BatchNorm.")
@click.option("--print-passes", is_flag=True, help="Print what each pass did.")
@report_option
@isolation_options
@speech_options
@click.pass_context
def fold_command(
    ctx: click.Context,
    /,
    model: str,
    no_simplify: bool,
    ledger: bool,
    print_passes: bool,
    report: tuple[Wanted, ...],
    **options: Any,
) -> Answer:
    """Fold every BatchNorm of MODEL, an ONNX file, that can be.

    The result is verified against MODEL, run as it is, before it is published.
    """
    mode: Mode = ctx.find_object(Mode) or Mode()
    check_reports(report, model, options["output"], options["inputs_from"])
    with progress(quiet=mode.quiet) as observe, written_on_failure(report):
        from bnexport.cli.summary import show_summary
        from bnexport.fold import fold

        isolation = isolation_of(options)
        conversion = fold(
            model, simplify=not no_simplify, isolation=isolation, observe=observe, **options
        )
    document = conversion.to_json()
    write_reports(report, document)

    def show(console: Console) -> None:
        show_summary(
            console, document, conversion.report, every_row=ledger, every_pass=print_passes
        )
        show_written(console, report)

    return Answer(document, show)
