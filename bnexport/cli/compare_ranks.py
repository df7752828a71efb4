"""``bnexport compare-ranks``."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bnexport.cli.answer import Answer
from bnexport.cli.command import Command
from bnexport.cli.options import speech_options
from bnexport.errors import ParityFailure

if TYPE_CHECKING:
    from rich.console import Console

    from bnexport.cli.layout import Cell
    from bnexport.ranks import LayerSpread, RankComparison

__all__ = ["compare_ranks_command"]

_SHOWN = 12
_HEADS = ("layer", "mean apart", "at", "variance ratio", "at", "explained by")


@click.command("compare-ranks", cls=Command)
@click.argument("checkpoints", nargs=-1, required=True)
@click.option(
    "--merge",
    "merged",
    metavar="OUT",
    help="Write the first checkpoint with the statistics of all ranks together.",
)
@click.option(
    "--batch-size",
    type=click.IntRange(min=1),
    default=32,
    show_default=True,
    metavar="N",
    help="Samples a batch on one rank: says what sampling explains.",
)
@click.option(
    "--momentum",
    type=click.FloatRange(min=0, max=1, min_open=True),
    default=0.1,
    show_default=True,
    metavar="X",
    help="Of the BatchNorms, in training.",
)
@click.option(
    "--alpha",
    type=click.FloatRange(min=0, max=1, min_open=True, max_open=True),
    default=0.01,
    show_default=True,
    metavar="P",
    help="The chance of calling sampling something else.",
)
@click.option(
    "--broadcast-buffers",
    "broadcast",
    is_flag=True,
    help="DistributedDataParallel had broadcast_buffers=True, its default, without SyncBatchNorm: "
    "ranks differ by one batch, and are judged so.",
)
@click.option(
    "--elements",
    type=click.IntRange(min=2),
    metavar="N",
    help="Values a channel in one rank's batch (samples times pixels), the same in every layer: "
    "makes the merged variance exact where momentum is 1.",
)
@click.option("--state-dict-key", metavar="KEY", help="Where in the checkpoints the weights are.")
@click.option("--layers", "every", is_flag=True, help="List every BatchNorm.")
@speech_options
def compare_ranks_command(
    checkpoints: tuple[str, ...],
    merged: str | None,
    batch_size: int,
    momentum: float,
    alpha: float,
    broadcast: bool,
    elements: int | None,
    state_dict_key: str | None,
    every: bool,
) -> Answer:
    """Compare the BatchNorm statistics in the CHECKPOINTS that each rank of one training saved.

    Without SyncBatchNorm each rank keeps statistics of its own, and which rank's checkpoint is deployed makes a
    difference. Exit code 0 where the statistics are the same, or --merge made one file of them; 1 where they differ;
    2 and 3 where they cannot be compared or merged.
    """
    from bnexport.ranks.compare import compared
    from bnexport.ranks.pool import merge_ranks
    from bnexport.ranks.read import read_ranks
    from bnexport.ranks.sampling import Sampling

    sampling = Sampling(batch_size, momentum, alpha, broadcast)
    ranks = read_ranks(checkpoints, state_dict_key)
    found = compared(ranks, sampling)
    if merged is not None:
        merge_ranks(ranks, found, Path(merged), elements)
    document = found.to_json() | {"merged": merged}

    def show(console: Console) -> None:
        _show(console, found, every)
        if merged is not None:
            from bnexport.cli.layout import wrote

            wrote(console, merged, f"statistics of {len(ranks)} ranks")

    passed = found.ok or merged is not None
    return Answer(document, show, exit_code=0 if passed else ParityFailure.exit_code)


def _show(console: Console, found: RankComparison, every: bool) -> None:
    from rich.text import Text

    from bnexport.cli.layout import BAD, GOOD, columns, fields, rows

    fields(console, [(f"rank {n}", name) for n, name in enumerate(found.ranks)])
    apart = sorted(found.layers, key=lambda each: -max(each.shift, each.log_ratio))
    listed = found.layers if every else [each for each in apart if each.shift or each.log_ratio]
    shown = listed if every else listed[:_SHOWN]
    if shown:
        table = columns(*_HEADS, wide="layer", left=("explained by",))
        rows(console, table, map(_row, shown))
    if more := len(listed) - len(shown):
        fields(console, [("", f"and {more} more, less far apart (--layers)")])
    fields(console, [("broken", f"{x.name}: {said}") for x in found.layers for said in x.broken])
    fields(console, _facts(found))
    fields(console, [("verdict", Text(found.text, GOOD if found.ok else BAD))])
    if found.remedy:
        fields(console, [("remedy", f"{found.remedy}.")])


def _facts(found: RankComparison) -> list[tuple[str, Cell]]:
    ratio = math.exp(found.log_ratio_limit)
    facts: list[tuple[str, Cell]] = [
        (
            "sampling",
            f"explains {found.shift_limit:.2g} sd and a ratio of {ratio:.3g} at most; "
            f"more by chance once in {1 / found.alpha:.3g} comparisons",
        )
    ]
    if found.differing:
        named = ", ".join(found.differing[:3]) + (", ..." if len(found.differing) > 3 else "")
        facts.append(("differ", f"{len(found.differing)} other tensors: {named}"))
    if found.uneven:
        facts.append(
            (
                "uneven",
                "the ranks have tracked different numbers of batches; --merge weights by them",
            )
        )
    return facts


def _row(layer: LayerSpread) -> list[Cell]:
    from rich.text import Text

    from bnexport.cli.layout import BAD

    return [
        layer.name or "(the model)",
        f"{layer.shift:.2g} sd",
        _place(layer.shift_at),
        f"{math.exp(layer.log_ratio):.3g}",
        _place(layer.log_ratio_at),
        "sampling" if layer.explained else Text("NOT SAMPLING", BAD),
    ]


def _place(at: tuple[int, int, int]) -> str:
    channel, low, high = at
    return f"{channel}, ranks {low} {high}"
