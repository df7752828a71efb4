"""``--report KIND=PATH``: the option, and writing what it asks for, after a failed verification too."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from bnexport.errors import OutputError, ParityFailure

if TYPE_CHECKING:
    from rich.console import Console

    from bnexport.report.forms import Wanted

__all__ = [
    "KINDS",
    "check_reports",
    "report_option",
    "report_option_of",
    "show_written",
    "write_reports",
    "written_on_failure",
]

KINDS = ("html", "junit", "sarif", "markdown")

Decorated = TypeVar("Decorated", bound=Callable[..., Any])


def report_option(command: Decorated) -> Decorated:
    """The option: the command is given a tuple of `Wanted` as ``report``."""
    return report_option_of(KINDS)(command)


def report_option_of(kinds: Sequence[str]) -> Callable[[Decorated], Decorated]:
    """The same, of some forms only."""
    return click.option(
        "--report",
        callback=lambda ctx, param, value: _wanted(ctx, param, value, kinds),
        multiple=True,
        metavar="KIND=PATH",
        help=f"Write the report as {', '.join(kinds)}, on failure too; repeatable.",
    )


def check_reports(wanted: Sequence[Wanted], *taken: str | None) -> None:
    """Refuse, before any work, what cannot be written; ``taken``: other files of the command."""
    if wanted:
        from bnexport.report.forms import check_wanted

        check_wanted(wanted, taken)


def write_reports(wanted: Sequence[Wanted], document: Any) -> None:
    """Write what was asked for."""
    if wanted:
        from bnexport.report.forms import write

        write(wanted, document)


def show_written(console: Console, wanted: Sequence[Wanted]) -> None:
    """Say what was written."""
    from bnexport.cli.layout import wrote

    for each in wanted:
        wrote(console, str(each.path), each.kind)


@contextmanager
def written_on_failure(wanted: Sequence[Wanted]) -> Iterator[None]:
    """Write the renderings of a conversion that fails its verification; the failure goes on."""
    try:
        yield
    except ParityFailure as failure:
        conversion = getattr(failure, "conversion", None)
        if conversion is not None and wanted:
            _write_beside(failure, wanted, conversion.to_json())
        raise


def _write_beside(failure: ParityFailure, wanted: Sequence[Wanted], report: Any) -> None:
    """A report that cannot be written must not hide why the verification failed."""
    from bnexport.report.forms import write

    try:
        write(wanted, report)
    except OutputError as error:
        failure.remedy = f"{failure.remedy}. {error}".removeprefix(". ").rstrip(". ")


def _wanted(
    ctx: click.Context, param: click.Parameter, value: Sequence[str], kinds: Sequence[str]
) -> tuple[Wanted, ...]:
    if not value:
        return ()
    for word in value:
        kind, _, path = word.partition("=")
        if kind not in kinds or not path:
            message = f"{word!r} is not KIND=PATH, where KIND is one of {', '.join(kinds)}."
            raise click.BadParameter(message, ctx, param)
    from bnexport.report.forms import Wanted

    parted = (word.partition("=") for word in value)
    return tuple(Wanted(kind, Path(path)) for kind, _, path in parted)
