"""``bnexport drift``: measure, or with ``merge`` and ``show``, work on what was observed."""

from __future__ import annotations

import click

from bnexport.cli.command import Group

__all__ = ["drift_command"]

COMMANDS = {
    "measure": (
        "bnexport.cli.drift_measure",
        "Run data through a model (the word may be left out).",
    ),
    "merge": ("bnexport.cli.drift_merge", "Add up what several workers observed."),
    "show": ("bnexport.cli.drift_show", "Judge what was observed."),
}


class _Measures(Group):
    """A group in which ``drift MODEL --data ...`` is short for ``drift measure MODEL --data ...``."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Put the word in where the first one is no command."""
        if args and args[0] not in (*COMMANDS, "--help", "-h"):
            args = ["measure", *args]
        return super().parse_args(ctx, args)


@click.group("drift", cls=_Measures, commands_at=COMMANDS)
def drift_command() -> None:
    """Compare what each BatchNorm sees with its running statistics.

    bnexport drift MODEL --data DATA measures it; exit code 1 where a layer drifted.
    """
