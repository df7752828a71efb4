"""Progress on standard error: one moving line on a terminal, one plain line a stage elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TextIO

from bnexport.events import Event, Observer, silent
from bnexport.printable import printable

if TYPE_CHECKING:
    from rich.status import Status

__all__ = ["progress"]


@contextmanager
def progress(*, quiet: bool, stream: TextIO | None = None) -> Iterator[Observer]:
    """An observer that shows what is going on while the block runs."""
    out = sys.stderr if stream is None else stream
    if quiet or out is None:
        yield silent
    elif out.isatty():
        with _status(out) as status:
            yield _Line(status)
    else:
        yield _Plain(out)


def _status(out: TextIO) -> Status:
    from bnexport.cli.console import console

    return console(out).status("starting")


class _Line:
    """The stage that runs, in place, with what it is doing; gone when all is done."""

    def __init__(self, status: Status) -> None:
        self._status = status

    def __call__(self, event: Event) -> None:
        from rich.text import Text

        if event.status == "end":
            return
        line = Text(f"{event.stage:<8}", style="bold")
        line.append(" " + printable(event.text), style="not bold")
        if event.fraction is not None:
            line.append(f" {event.fraction:.0%}", style="not bold")
        line.truncate(self._status.console.width - 3, overflow="ellipsis")
        self._status.update(line)


class _Plain:
    """A line at the end of each stage: fit for a log file."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._text = ""

    def __call__(self, event: Event) -> None:
        if event.status == "begin":
            self._text = event.text
        elif event.status == "end":
            text = printable(event.text or self._text)
            print(f"{event.stage:<8} {event.seconds:6.1f} s  {text}".rstrip(), file=self._out)
            self._out.flush()
