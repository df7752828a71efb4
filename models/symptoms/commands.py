"""Run the command line in this process, in a folder, and keep what it printed."""

import contextlib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bnexport.cli.entry import main

__all__ = ["Outcome", "run"]


@dataclass(frozen=True)
class Outcome:
    """The exit code, and what was printed."""

    code: int
    output: str


def run(arguments: Sequence[str], folder: Path) -> Outcome:
    """Run ``bnexport`` with these arguments in the folder."""
    printed = io.StringIO()
    with (
        contextlib.chdir(folder),
        contextlib.redirect_stdout(printed),
        contextlib.redirect_stderr(printed),
    ):
        code = main(list(arguments))
    return Outcome(code, printed.getvalue().strip())
