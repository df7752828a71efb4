"""What a command answers: a document for programs, and the way to show it to people."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from bnexport.cli.mode import Mode

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["Answer", "show"]


@dataclass(frozen=True)
class Answer:
    """The outcome of a command that ran to its end.

    Attributes:
        document: What ``--json`` prints.
        render: Shows the same on a terminal.
        exit_code: 0, or why not.
    """

    document: dict[str, Any]
    render: Callable[[Console], None]
    exit_code: int = 0


def show(answer: Answer, mode: Mode) -> None:
    """Print the answer on standard output in the form asked for."""
    if mode.json:
        from bnexport.report import dumps

        click.echo(dumps(answer.document))
    elif not mode.quiet or answer.exit_code:
        from bnexport.cli.console import console

        answer.render(console(sys.stdout))
    if sys.stdout is not None:
        sys.stdout.flush()
