"""What was found of drift, on a terminal: the verdict and the layers, the most divergent first."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import click

from bnexport.cli.answer import Answer
from bnexport.cli.reports import show_written, write_reports
from bnexport.errors import ParityFailure

if TYPE_CHECKING:
    from rich.console import Console

    from bnexport.cli.layout import Cell
    from bnexport.drift.judge import Drift
    from bnexport.report.forms import Wanted

__all__ = ["answer_of", "limit_options"]

Decorated = TypeVar("Decorated", bound=Callable[..., Any])

_SHOWN = 12
_ROOMY = 100  # characters
_HEADS = ("layer", "nats", "worst channel", "p", "", "channels", "95 %")


def limit_options(command: Decorated) -> Decorated:
    """What counts as drift, and how much of it is listed."""
    command = click.option(
        "--layers", "every_layer", is_flag=True, help="List every layer, in the order of the calls."
    )(command)
    command = click.option(
        "--threshold",
        type=click.FloatRange(min=0),
        default=0.05,
        show_default=True,
        metavar="NATS",
        help="The least divergence that counts: 0.05 is a shift by 0.22 deviations in every channel.",
    )(command)
    return click.option(
        "--alpha",
        type=click.FloatRange(min=0, max=1, min_open=True, max_open=True),
        default=0.01,
        show_default=True,
        metavar="P",
        help="The chance of a false alarm, over all layers together.",
    )(command)


def answer_of(
    found: Drift, about: dict[str, Any], report: Sequence[Wanted], *, every: bool
) -> Answer:
    """The answer of a command that judges drift; its reports are written."""
    from bnexport.report.drift import document_of

    document = document_of(found, about)
    write_reports(report, document)

    def show(console: Console) -> None:
        _show(console, document, every)
        show_written(console, report)

    return Answer(document, show, exit_code=ParityFailure.exit_code if found.drifted else 0)


def _show(console: Console, document: dict[str, Any], every: bool) -> None:
    from rich.text import Text

    from bnexport.cli.layout import BAD, GOOD, columns, fields, rows

    layers = document["layers"]
    sizes = ", ".join(f"{size} ({count}x)" for size, count in document["batches"].items())
    fields(console, [("note", note) for note in document["notes"]])
    fields(console, [("samples", f"{document['samples']:,}"), ("batches", sizes)])
    listed = layers if every else sorted(layers, key=lambda each: -each["divergence"])[:_SHOWN]
    # On a narrow terminal the names need the room.
    heads = _HEADS if console.width >= _ROOMY else _HEADS[:-2]
    table = columns(*heads, wide="layer", left=("",))
    rows(console, table, (_row(each)[: len(heads)] for each in listed))
    if more := len(layers) - len(listed):
        fields(console, [("", f"and {more} more, less divergent (--layers)")])
    drifted = [each for each in layers if each["drifted"]]
    if drifted:
        first = document["starts"]
        text = (
            f"{len(drifted)} of {len(layers)} layers drifted; it starts in {first or 'the model'}"
        )
        fields(console, [("verdict", Text(text, BAD))])
        remedy = (
            "Feed what the model was trained on (look at the preprocessing first), "
            "or estimate the statistics anew: bnexport recalibrate"
        )
        fields(console, [("remedy", remedy)])
    else:
        fields(console, [("verdict", Text(f"no drift in {len(layers)} layers", GOOD))])


def _row(layer: dict[str, Any]) -> list[Cell]:
    from rich.text import Text

    from bnexport.cli.layout import BAD, GOOD

    low, high = layer["interval"]
    worst = layer["worst"]
    moved = f"{worst['channel']}: {worst['shift']:+.2f} sd, var x{worst['variance_ratio']:.3g}"
    return [
        layer["name"] or "(the model)",
        f"{layer['divergence']:.3g}",
        moved,
        f"{layer['p']:.2g}",
        Text("DRIFT", BAD) if layer["drifted"] else Text("ok", GOOD),
        str(layer["channels"]),
        f"{low:.2g}..{high:.2g}",
    ]
