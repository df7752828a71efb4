"""``bnexport recalibrate``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from bnexport.cli.answer import Answer
from bnexport.cli.command import Command
from bnexport.cli.data import data_of, data_options
from bnexport.cli.mode import Mode
from bnexport.cli.options import load_options, speech_options
from bnexport.cli.progress import progress

if TYPE_CHECKING:
    from rich.console import Console

    from bnexport.cli.layout import Cell
    from bnexport.recalibrate import LayerChange, Recalibration

__all__ = ["recalibrate_command"]

_SHOWN = 12
_HEADS = ("layer", "moved", "mean by at most", "variance, times", "values")


@click.command("recalibrate", cls=Command)
@click.argument("model", required=False)
@click.option("-o", "--output", required=True, metavar="PATH", help="The file to write.")
@data_options
@click.option(
    "--sequential",
    is_flag=True,
    help="Estimate each layer behind the new statistics of those before it: a pass for each.",
)
@click.option(
    "--metric",
    metavar="MODULE:FUNCTION",
    help="Called with the model in eval mode, before and after; returns a number or a dict of numbers.",
)
@click.option(
    "--state",
    metavar="FILE",
    help="Keep what was gathered here, and go on from it after an interruption.",
)
@click.option("--layers", "every", is_flag=True, help="List every BatchNorm.")
@load_options
@speech_options
@click.pass_context
def recalibrate_command(
    ctx: click.Context,
    /,
    model: str | None,
    output: str,
    data: str,
    sequential: bool,
    metric: str | None,
    state: str | None,
    every: bool,
    **options: Any,
) -> Answer:
    """Estimate the BatchNorm statistics of MODEL anew, over all of DATA, and write the model with them.

    The statistics are exact: those of every value that a layer is fed, not an average of the last batches. Nothing
    else of the file changes, and it keeps its kind. Without --sequential each BatchNorm normalises by its batch
    meanwhile, as in training: then let batches be as large as those of the training.
    """
    if model is None and options["arch"] is None:
        raise click.UsageError("Missing argument 'MODEL' (or --arch MODULE:FACTORY).", ctx)
    mode: Mode = ctx.find_object(Mode) or Mode()
    wanted = data_of(options)
    from bnexport.load import load
    from bnexport.recalibrate import recalibrate

    with progress(quiet=mode.quiet) as observe:
        found = recalibrate(
            load(model, **options),
            data,
            output,
            options=wanted,
            sequential=sequential,
            metric=_metric(metric),
            state=state,
            state_dict_key=options["state_dict_key"],
            observe=observe,
        )
    document = found.to_json() | {"model": model or options["arch"], "data": data}
    return Answer(document, lambda console: _show(console, found, every))


def _metric(named: str | None) -> Any:
    if named is None:
        return None
    from bnexport.load.arch import find_callable

    return find_callable("--metric", named)


def _show(console: Console, found: Recalibration, every: bool) -> None:
    from bnexport.cli.layout import columns, fields, rows, wrote

    fields(console, [("note", note) for note in found.notes])
    passes = f", {found.passes} passes" if found.passes > 1 else ""
    fields(console, [("samples", f"{found.samples:,} in {found.batches:,} batches{passes}")])
    layers = found.layers if every else sorted(found.layers, key=lambda x: -x.moved)[:_SHOWN]
    rows(console, columns(*_HEADS, wide="layer"), map(_row, layers))
    if more := len(found.layers) - len(layers):
        fields(console, [("", f"and {more} more, which moved less (--layers)")])
    fields(
        console,
        [(name, f"{old:.6g} before, {new:.6g} after") for name, (old, new) in found.metric.items()],
    )
    if found.output:
        wrote(console, found.output, f"{len(found.layers)} BatchNorms recalibrated")


def _row(change: LayerChange) -> list[Cell]:
    place = int(change.shift.abs().nan_to_num(1e300).argmax())
    ratio = change.ratio
    return [
        change.name or "(the model)",
        f"{change.moved:.3g}",
        f"{float(change.shift[place]):+.2f} sd",
        f"{float(ratio.min()):.2g}..{float(ratio.max()):.2g}",
        f"{change.values:,}",
    ]
