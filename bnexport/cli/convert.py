"""``bnexport convert``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bnexport.cli.answer import Answer
from bnexport.cli.command import Command
from bnexport.cli.mode import Mode
from bnexport.cli.options import (
    PRECISIONS,
    TARGETS,
    engine_of,
    engine_options,
    input_options,
    isolation_of,
    isolation_options,
    load_options,
    speech_options,
    targets,
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
from bnexport.roads import PROOFS, ROADS

if TYPE_CHECKING:
    from rich.console import Console

    from bnexport.report.document import Document
    from bnexport.report.forms import Wanted

__all__ = ["convert_command"]


@click.command("convert", cls=Command)
@click.argument("model", required=False)
@click.option("-o", "--output", metavar="PATH", help="The file to write.  [default: by the model]")
@click.option(
    "--target",
    callback=targets,
    multiple=True,
    metavar=f"[{'|'.join(TARGETS)}]",
    help="What to write; separate several by commas.  [default: onnx]",
)
@load_options
@input_options
@click.option(
    "--opset", type=click.IntRange(min=1), metavar="N", help="The ONNX opset.  [default: 20]"
)
@click.option(
    "--precision",
    metavar=f"[{'|'.join(PRECISIONS)}]",
    help="What the graph computes in, after folding; mixed keeps in float32 what float16 breaks.  "
    "[default: the model's own]",
)
@click.option("--io-half", is_flag=True, help="Let inputs and outputs be of half precision, too.")
@click.option(
    "--external-data/--no-external-data",
    default=None,
    help="Keep the weights in a file beside the ONNX file.  [default: above 2 GB]",
)
@engine_options
@click.option("--no-fold", is_flag=True, help="Leave every BatchNorm where it is.")
@click.option(
    "--simplify/--no-simplify",
    default=None,
    help="Run onnxsim over the graph.  [default: if it was read from an ONNX file]",
)
@click.option(
    "--capture",
    type=click.Choice(ROADS),
    default="auto",
    show_default=True,
    help="How a module becomes a graph: by recording what it calls, or by torch.export.",
)
@click.option(
    "--proof",
    type=click.Choice(PROOFS),
    default="full",
    show_default=True,
    help="How the result is verified: quick holds it against PyTorch as it is, full against PyTorch in float64, "
    "each sample alone and beside others, thorough on more inputs.",
)
@click.option(
    "--drift-taps",
    is_flag=True,
    help="Add outputs that tell what the BatchNorms see, for drift in production.",
)
@tolerance_options
@click.option(
    "--keep-failed", is_flag=True, help="Keep what failed verification, under another name."
)
@click.option("--force", is_flag=True, help="Convert again what was converted already.")
@click.option(
    "--cache",
    metavar="DIR",
    help="A folder of earlier conversions: what is unchanged, its source code included, is taken from there.",
)
@click.option("--ledger", is_flag=True, help="Print what became of each BatchNorm.")
@click.option("--print-passes", is_flag=True, help="Print what each pass did.")
@report_option
@isolation_options
@speech_options
@click.pass_context
def convert_command(
    ctx: click.Context,
    /,
    model: str | None,
    target: tuple[str, ...],
    no_fold: bool,
    ledger: bool,
    print_passes: bool,
    report: tuple[Wanted, ...],
    **options: Any,
) -> Answer:
    """Convert MODEL: a pickled module, a checkpoint, .safetensors, .pt2, TorchScript or ONNX.

    What MODEL is, its content says, not its name. Without MODEL, --arch alone gives the network
    with the weights that its factory makes. The result is verified against PyTorch in float64
    before it is published, and nothing is published when that fails.
    """
    if model is None and options["arch"] is None:
        raise click.UsageError("Missing argument 'MODEL' (or --arch MODULE:FACTORY).", ctx)
    mode: Mode = ctx.find_object(Mode) or Mode()
    check_reports(report, model, options["output"], options["inputs_from"])
    if model is not None:
        from bnexport.load.sniff import check_file

        check_file(model)  # before torch is loaded
    asked = {
        "model": model,
        "target": target or ("onnx",),
        "fold": not no_fold,
        "engine": engine_of(options),
        "isolation": isolation_of(options),
        **options,
    }
    place, document = _earlier(asked) or _converted(asked, mode, report)
    write_reports(report, document)

    def show(console: Console) -> None:
        from bnexport.cli.summary import show_summary

        show_summary(console, document, place, every_row=ledger, every_pass=print_passes)
        show_written(console, report)

    return Answer(document, show)


def _earlier(asked: dict[str, Any]) -> tuple[Path, Document] | None:
    """What an earlier conversion of the same left, told without torch."""
    from bnexport.cache import ConversionStore
    from bnexport.destination import report_of
    from bnexport.unchanged import earlier, place_of, request_of

    store = ConversionStore(asked["cache"]) if asked["cache"] is not None else None
    request = request_of(asked["model"], asked, code=store is not None)
    if request is None or asked["force"]:
        return None
    place = place_of(asked["model"], asked["output"], asked["target"])
    found = earlier(request, place) or (store.take(request, place) if store else None)
    return None if found is None else (report_of(place), found)


def _converted(
    asked: dict[str, Any], mode: Mode, report: tuple[Wanted, ...]
) -> tuple[Path, Document]:
    with progress(quiet=mode.quiet) as observe, written_on_failure(report):
        from bnexport.convert import convert

        conversion = convert(observe=observe, **asked)
    return conversion.report, conversion.to_json()
