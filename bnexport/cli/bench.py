"""``bnexport bench``."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bnexport.cli.answer import Answer
from bnexport.cli.command import Command
from bnexport.cli.mode import Mode
from bnexport.cli.options import (
    BENCHED,
    batch_option,
    benched,
    isolation_of,
    isolation_options,
    load_options,
    shape_options,
    speech_options,
)
from bnexport.cli.progress import progress

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["bench_command"]


@click.command("bench", cls=Command)
@click.argument("models", metavar="FILE...", nargs=-1)
@load_options
@shape_options
@batch_option("1", "Batch sizes to sweep over.")
@click.option(
    "--runtime",
    "runtimes",
    callback=benched,
    multiple=True,
    metavar=f"[{'|'.join(BENCHED)}]",
    help="What runs the files; separate several by commas. ort-plain has every optimiser off.  "
    "[default: torch, torch-compile, ort, trt; where there is a GPU, what runs on it]",
)
@click.option(
    "--threads",
    type=click.IntRange(min=1),
    metavar="N",
    help="For one operator, on the processor.  [default: each runtime's own]",
)
@click.option(
    "--seconds",
    type=click.FloatRange(min=0, min_open=True),
    metavar="S",
    help="What the rounds at one batch size may take.  [default: 10]",
)
@click.option(
    "--rounds", type=click.IntRange(min=1), metavar="N", help="So many rounds at each batch size."
)
@click.option(
    "--warmup",
    type=click.IntRange(min=0),
    default=10,
    show_default=True,
    metavar="N",
    help="Runs before the first round; at most a second, and three at least.",
)
@click.option("--seed", type=int, default=0, show_default=True, help="Of the orders of the rounds.")
@click.option("--cuda-graphs", is_flag=True, help="Replay CUDA graphs: PyTorch, and engines.")
@click.option("--memory", is_flag=True, help="Measure memory, each in a process of its own.")
@click.option("--report", metavar="PATH", help="Write the JSON document.")
@click.option("--plot", metavar="PATH", help="Draw latencies and the sweep as SVG.")
@partial(isolation_options, memory="--memory-limit")
@speech_options
@click.pass_context
def bench_command(
    ctx: click.Context,
    /,
    models: tuple[str, ...],
    report: str | None,
    plot: str | None,
    **options: Any,
) -> Answer:
    """Time models and files side by side: PyTorch, ONNX Runtime, TensorRT.

    Each FILE is run in each runtime that serves it, on the same inputs. All take their turns in every round, in an
    order that is drawn, so that what drifts on the machine hits all alike; the ratio is to the first one. The exit
    code is 1 where one gives NaN or Inf, or outputs of other shapes. Whether they agree is `bnexport verify`'s to say.
    """
    if not models and options["arch"] is None:
        raise click.UsageError("Missing argument 'FILE...' (or --arch MODULE:FACTORY).", ctx)
    mode: Mode = ctx.find_object(Mode) or Mode()
    written = _wanted(report, plot, (*models, options["inputs_from"]))
    with progress(quiet=mode.quiet) as observe:
        from bnexport.bench import bench

        isolation = isolation_of(options)
        document = bench(models, isolation=isolation, observe=observe, **options).to_json()
    _write(report, plot, document)

    def show(console: Console) -> None:
        from bnexport.cli.bench_table import show_bench
        from bnexport.cli.layout import wrote

        show_bench(console, document)
        for path, what in written:
            wrote(console, str(path), what)

    return Answer(document, show)


def _wanted(
    report: str | None, plot: str | None, taken: tuple[str | None, ...]
) -> list[tuple[Path, str]]:
    """What will be written; refused before anything is timed where it cannot be."""
    wanted = [(Path(path), what) for path, what in ((report, "JSON"), (plot, "SVG")) if path]
    if wanted:
        from bnexport.bench.plot import check_plots
        from bnexport.publish import check_destination

        others = [Path(each) for each in taken if each is not None]
        for path, what in wanted:
            check_destination(path, others)
            others.append(path)
            if what == "SVG":
                check_plots()
    return wanted


def _write(report: str | None, plot: str | None, document: dict[str, Any]) -> None:
    from bnexport.publish import publish_bytes

    if report:
        from bnexport.report import dumps

        publish_bytes(Path(report), (dumps(document) + "\n").encode())
    if plot:
        from bnexport.bench.plot import drawn

        publish_bytes(Path(plot), drawn(document).encode())
