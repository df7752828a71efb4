"""A failure as plain text of a fixed width: for a test's report, which is no terminal."""

from __future__ import annotations

from io import StringIO

from rich.console import Console

from bnexport.cli.failure import explain
from bnexport.cli.parity_table import show_parity
from bnexport.errors import BnexportError
from bnexport.printable import printable

__all__ = ["failure_text"]

WIDTH = 100


def failure_text(error: BnexportError) -> str:
    """What is wrong and why, on the first line; the remedy; and the checks, where some were made."""
    failure = explain(error)
    # pytest's summary shows one line, and what alone may be no more than a layer's name.
    what = ": ".join(part for part in (failure.what, failure.why) if part)
    first, *lines = [
        line for part in (what, failure.remedy) for line in printable(part).splitlines()
    ]
    lines = [f"  {line}" for line in lines]
    report = failure.details.get("report", failure.details)
    if "parity" in report:
        stream = StringIO()
        # A fixed width, and no colours: the environment of CI often forces them.
        show_parity(Console(file=stream, width=WIDTH, color_system=None), report["parity"])
        lines += stream.getvalue().splitlines()
    return "\n".join([f"bnexport: {first}", *lines])
