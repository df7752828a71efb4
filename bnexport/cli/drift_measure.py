"""``bnexport drift MODEL --data DATA``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bnexport.cli.answer import Answer
from bnexport.cli.command import Command
from bnexport.cli.data import data_of, data_options
from bnexport.cli.drift_table import answer_of, limit_options
from bnexport.cli.mode import Mode
from bnexport.cli.options import load_options, speech_options
from bnexport.cli.progress import progress
from bnexport.cli.reports import check_reports, report_option_of

if TYPE_CHECKING:
    from bnexport.report.forms import Wanted

__all__ = ["measure_command"]


@click.command("measure", cls=Command)
@click.argument("model", required=False)
@data_options
@limit_options
@click.option(
    "--block",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    metavar="N",
    help="So many samples in a row depend on each other: frames of a video.",
)
@click.option(
    "--state", metavar="FILE", help="Keep what was observed, for `drift merge` and `show`."
)
@report_option_of(("html",))
@load_options
@speech_options
@click.pass_context
def measure_command(
    ctx: click.Context,
    /,
    model: str | None,
    data: str,
    alpha: float,
    threshold: float,
    block: int,
    state: str | None,
    every_layer: bool,
    report: tuple[Wanted, ...],
    **options: Any,
) -> Answer:
    """Run DATA through a copy of MODEL, in eval mode, and compare what each BatchNorm sees with its statistics.

    Says which layers drifted, by how much, and in which it starts: later ones may have it from there. Memory does
    not grow with the data. Exit code 1 where a layer drifted.
    """
    if model is None and options["arch"] is None:
        raise click.UsageError("Missing argument 'MODEL' (or --arch MODULE:FACTORY).", ctx)
    mode: Mode = ctx.find_object(Mode) or Mode()
    check_reports(report, model, state)
    wanted = data_of(options)
    from bnexport.drift.judge import judge
    from bnexport.drift.measure import observe_data
    from bnexport.drift.state import check_state_path
    from bnexport.load import load
    from bnexport.publish import Staging

    if state is not None:
        check_state_path(Path(state))
        Staging(Path(state))  # looks at the folder
    loaded = load(model, **options)
    with progress(quiet=mode.quiet) as observe:
        seen, notes = observe_data(loaded, data, wanted, block=block, observe=observe)
    if state is not None:
        seen.save(Path(state))
    found = judge(seen, alpha=alpha, threshold=threshold)
    about = {"model": model or options["arch"], "data": data, "notes": list(notes), "state": state}
    return answer_of(found, about, report, every=every_layer)
