"""The forms that a report is rendered in, by name, and the one way to write them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bnexport.errors import OutputError, UsageError
from bnexport.publish import Staging

__all__ = ["FORMS", "OTHER_FORMS", "Wanted", "check_wanted", "rendered", "write"]

Document = dict[str, Any]


@dataclass(frozen=True)
class Wanted:
    """One rendering, asked for.

    Attributes:
        kind: Its form: one of `FORMS`.
        path: Where it goes.
    """

    kind: str
    path: Path


def _html(report: Document) -> str:
    from bnexport.report.html import page

    return page(report)


def _junit(report: Document) -> str:
    from bnexport.report.junit import suites

    return suites(report)


def _sarif(report: Document) -> str:
    from bnexport.report.sarif import log

    return log(report)


def _inspected_html(found: Document) -> str:
    from bnexport.report.inspection_html import page

    return page(found)


def _inspected_sarif(found: Document) -> str:
    from bnexport.report.inspection_sarif import log

    return log(found)


def _markdown(report: Document) -> str:
    from bnexport.report.markdown import summary

    return summary(report)


FORMS: Mapping[str, Callable[[Document], str]] = {
    "html": _html,
    "junit": _junit,
    "sarif": _sarif,
    "markdown": _markdown,
}


def _drift_html(found: Document) -> str:
    from bnexport.report.drift_html import page

    return page(found)


# Of the documents that are no conversion and no verification, by their schema.
OTHER_FORMS: Mapping[str, Mapping[str, Callable[[Document], str]]] = {
    "bnexport.inspection": {"html": _inspected_html, "sarif": _inspected_sarif},
    "bnexport.drift": {"html": _drift_html},
}


def rendered(kind: str, report: Document) -> str:
    """The document of a conversion or a verification in one of `FORMS`, another one in one of its own."""
    schema = str(report.get("schema", "")).partition("/")[0]
    return OTHER_FORMS.get(schema, FORMS)[kind](report)


def check_wanted(wanted: Iterable[Wanted], taken: Iterable[str | None] = ()) -> None:
    """See, before any work, that every rendering can be written, and that none replaces another file of this run.

    Args:
        wanted: The renderings.
        taken: Files that the run reads or writes; None where one is not given.

    Raises:
        UsageError: Two files have one path.
        OutputError: The folder does not exist or cannot be written, or the path is no file.
    """
    places = {Path(path).resolve(): path for path in taken if path is not None}
    for each in wanted:
        if (place := each.path.resolve()) in places:
            why = "the same path is given twice in this command"
            raise UsageError(f"--report {each.kind}={each.path}", why, "Name another file")
        places[place] = str(each.path)
        Staging(each.path)  # looks at the folder; nothing is made before it is entered


def write(wanted: Iterable[Wanted], report: Document) -> None:
    """Publish every rendering, each whole or not at all.

    Raises:
        OutputError: One cannot be written, or would replace a file that the report names as published.
    """
    names = [file["path"] for file in report.get("files", ())]
    names += [f"{name}.report.json" for name in names[:1]]
    published = {Path(name).resolve() for name in names}
    for each in wanted:
        if each.path.resolve() in published:
            why = f"it is what was published as {each.path.name}"
            raise OutputError(f"cannot write {each.path}", why, "Name another file for --report")
        with Staging(each.path) as staging:
            staged = staging.folder / each.path.name
            staged.write_text(rendered(each.kind, report), encoding="utf-8")
            staging.commit(each.path.name, ())
