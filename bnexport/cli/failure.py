"""From an exception to a message of three parts and an exit code."""

from __future__ import annotations

import sys
import traceback
from dataclasses import dataclass, field
from typing import Any

import click

from bnexport.cli.mode import Mode
from bnexport.cli.signals import Terminated
from bnexport.errors import BnexportError
from bnexport.printable import printable

__all__ = ["INTERNAL", "INTERRUPTED", "Failure", "explain"]

SCHEMA = "bnexport.error/1"
INTERRUPTED = 130
INTERNAL = 70  # EX_SOFTWARE of sysexits.h: a fault of bnexport's own
REPORT_US = "A fault of bnexport itself: please report it, with the traceback that --debug shows."
STOPPED = "the model's own code ended the program"


@dataclass(frozen=True)
class Failure:
    """The outcome of a command that did not run to its end.

    Attributes:
        error: What was raised.
        kind: The name of its class, as programs see it.
        what: What is wrong.
        why: The reason.
        remedy: What to do.
        exit_code: The code to leave with.
        details: More fields for the JSON document: the report of a failed verification.
    """

    error: BaseException
    kind: str
    what: str
    why: str = ""
    remedy: str = ""
    exit_code: int = INTERNAL
    details: dict[str, Any] = field(default_factory=dict)

    def show(self, mode: Mode) -> None:
        """Print the message: JSON on standard output, or lines on standard error."""
        if mode.debug:
            click.echo("".join(traceback.format_exception(self.error)), err=True, nl=False)
        if mode.json:
            self._show_json()
        elif isinstance(self.error, click.UsageError):
            self.error.show()
        else:
            self._show_text(mode)

    def _show_text(self, mode: Mode) -> None:
        if self.details:
            _show_details(self.details, mode)
        click.echo(click.style("error: ", fg="red", bold=True) + printable(self.what), err=True)
        for part in (self.why, self.remedy):
            for line in printable(part).splitlines():
                click.echo(f"  {line}", err=True)

    def _show_json(self) -> None:
        from bnexport.report import dumps

        error = {"type": self.kind, "what": self.what, "why": self.why, "remedy": self.remedy}
        data = {"schema": SCHEMA, "error": error, "exit_code": self.exit_code, **self.details}
        click.echo(dumps(data))
        sys.stdout.flush()


def explain(error: BaseException) -> Failure:
    """Say what ``error`` means to the user."""
    if isinstance(error, BnexportError):
        parts = (error.what, error.why, error.remedy)
        return Failure(error, type(error).__name__, *parts, error.exit_code, _details(error))
    if isinstance(error, click.Abort | KeyboardInterrupt):
        return Failure(error, "Interrupted", "interrupted", exit_code=INTERRUPTED)
    if isinstance(error, Terminated):
        return Failure(error, "Terminated", str(error), exit_code=128 + error.number)
    if isinstance(error, click.ClickException):
        what = error.format_message()
        return Failure(error, "UsageError", what, exit_code=error.exit_code)
    if isinstance(error, SystemExit):  # raised by foreign code: bnexport itself returns its codes
        return Failure(error, "SystemExit", STOPPED, f"it called exit({error.code})", exit_code=3)
    what = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    return Failure(error, "InternalError", f"internal error: {what}", remedy=REPORT_US)


def _details(error: BnexportError) -> dict[str, Any]:
    conversion, parity = getattr(error, "conversion", None), getattr(error, "parity", None)
    if conversion is not None:
        return {"report": conversion.to_json()}
    if parity is not None:
        from bnexport.report import parity_json

        return {"parity": parity_json(parity)}
    return {}


def _show_details(details: dict[str, Any], mode: Mode) -> None:
    from bnexport.cli.console import console
    from bnexport.cli.summary import show_parity

    parity = details["report"]["parity"] if "report" in details else details["parity"]
    if not mode.quiet:
        show_parity(console(sys.stderr), parity)
