"""The rich console that every command writes through."""

from __future__ import annotations

from typing import TextIO

from rich.console import Console

__all__ = ["console"]


def console(stream: TextIO) -> Console:
    """A console on ``stream`` that prints text as it is: no markup, no guessed colours."""
    return Console(file=stream, markup=False, highlight=False, emoji=False)
