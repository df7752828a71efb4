"""``bnexport drift merge``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from bnexport.cli.answer import Answer
from bnexport.cli.command import Command
from bnexport.cli.options import speech_options
from bnexport.errors import UsageError

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["merge_command"]


@click.command("merge", cls=Command)
@click.argument("states", nargs=-1, required=True)
@click.option("-o", "--output", required=True, metavar="FILE", help="Where the sum goes.")
@speech_options
def merge_command(states: tuple[str, ...], output: str) -> Answer:
    """Add up the STATES that monitors of one model have saved, on several workers or hosts."""
    if len(states) != len(set(states)):
        raise UsageError("STATES", "a file is given twice, and would count twice", "Name each once")
    from bnexport.drift.state import DriftState, merge

    merged = merge([DriftState.read(path) for path in states])
    merged.save(output)
    document = {
        "schema": "bnexport.drift-merge/1",
        "states": list(states),
        "output": output,
        "samples": merged.samples,
        "forwards": merged.forwards,
    }

    def show(console: Console) -> None:
        from bnexport.cli.layout import wrote

        wrote(console, output, f"{merged.samples:,} samples of {len(states)} states")

    return Answer(document, show)
