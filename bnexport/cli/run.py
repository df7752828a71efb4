"""``bnexport run``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from bnexport.cli.answer import Answer
from bnexport.cli.command import Command
from bnexport.cli.mode import Mode
from bnexport.cli.options import (
    RUNTIMES,
    isolation_of,
    isolation_options,
    load_options,
    speech_options,
)
from bnexport.cli.progress import progress

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["run_command"]

HEADERS = ("output", "shape", "dtype", "min", "max", "NaN", "Inf")


@click.command("run", cls=Command)
@click.argument("model", required=False)
@click.option(
    "--inputs",
    required=True,
    metavar="FILE",
    help="An .npz or .pt by the names of the inputs; an .npy for one input.",
)
@click.option("-o", "--output", metavar="PATH", help="The .npz to write, outputs by name.")
@load_options
@click.option(
    "--runtime",
    type=click.Choice(("torch", *RUNTIMES, "trt")),
    help="What runs it.  [default: what serves it: torch, ort, trt]",
)
@click.option(
    "--batch",
    type=click.IntRange(min=1),
    metavar="N",
    help="Run N samples at a time and join the outputs.  [default: all in one call]",
)
@isolation_options
@speech_options
@click.pass_context
def run_command(
    ctx: click.Context, /, model: str | None, inputs: str, output: str | None, **options: Any
) -> Answer:
    """Run MODEL, of any kind that bnexport reads, on real inputs.

    A module runs in eval mode, an ONNX file in ONNX Runtime, an engine in TensorRT. A float is converted to the
    width that the model takes, with a note; an integer where no value changes. Without -o nothing is written.
    """
    if model is None and options["arch"] is None:
        raise click.UsageError("Missing argument 'MODEL' (or --arch MODULE:FACTORY).", ctx)
    mode: Mode = ctx.find_object(Mode) or Mode()
    with progress(quiet=mode.quiet) as observe:
        from bnexport.run import run

        isolation = isolation_of(options)
        ran = run(model, inputs, output, isolation=isolation, observe=observe, **options)
    document = ran.to_json() | {"model": model or options["arch"], "output": output}

    def show(console: Console) -> None:
        from bnexport.cli.layout import columns, fields, rows, wrote

        fields(
            console, [("ran in", document["runtime"]), *(("note", n) for n in document["notes"])]
        )
        table = columns(*HEADERS, wide="output", left=("shape", "dtype"))
        rows(console, table, [_row(name, told) for name, told in document["outputs"].items()])
        if output is not None:
            wrote(console, output, "outputs")

    return Answer(document, show)


def _row(name: str, told: dict[str, Any]) -> list[str]:
    shape = "x".join(map(str, told["shape"])) or "scalar"
    least, most = ("-" if told[end] is None else f"{told[end]:.6g}" for end in ("min", "max"))
    return [name, shape, told["dtype"], least, most, str(told["nan"]), str(told["inf"])]
