"""Click's group and command, with commands imported on use and foreign output kept off stdout."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

import click

from bnexport.cli.streams import divert_stdout

__all__ = ["Command", "Group"]


class Command(click.Command):
    """A command during whose run only bnexport itself can reach standard output."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; what models and libraries print goes to standard error."""
        with divert_stdout():
            return super().invoke(ctx)


class Group(click.Group):
    """Commands by name, imported when they are run.

    Args:
        commands_at: The module that holds each command, under its own name and the suffix
            ``_command``, and the line that ``--help`` shows for it.
        options: Click's own.
    """

    def __init__(self, commands_at: Mapping[str, tuple[str, str]], **options: Any) -> None:
        super().__init__(**options)
        self._places = dict(commands_at)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names, in the order given."""
        return list(self._places)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the command's module."""
        if cmd_name not in self._places:
            return None
        module = importlib.import_module(self._places[cmd_name][0])
        command: click.Command = getattr(module, f"{cmd_name.replace('-', '_')}_command")
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in self._places.items()])
