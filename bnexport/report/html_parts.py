"""What the HTML pages are made of: the page itself, sections, tables and lists of facts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby

from bnexport.report.html_style import STYLE
from bnexport.report.markup import Markup, join, tag

__all__ = ["document", "folded", "pairs", "section", "sentence_of", "table"]

POLICY = "default-src 'none'; style-src 'unsafe-inline'"


def document(title: str, *parts: object) -> str:
    """The whole page, which loads nothing: no script, no font, no image."""
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("meta", **{"http-equiv": "Content-Security-Policy", "content": POLICY}),
        tag("title", title),
        tag("style", Markup(STYLE)),
    )
    return "<!DOCTYPE html>\n" + tag("html", head, tag("body", tag("main", *parts)), lang="en")


def section(title: str, *body: object) -> Markup:
    """A heading and what stands below it."""
    return tag("section", tag("h2", title), *body)


def folded(title: str, *body: object) -> Markup:
    """What shows when its title is clicked."""
    return tag("details", tag("summary", title), *body)


def pairs(told: Iterable[tuple[str, str]]) -> Markup:
    """Labels and texts; those of one label stand under it."""
    grouped = groupby(told, key=lambda pair: pair[0])
    return tag(
        "dl", *(join(tag("dt", name), *(tag("dd", v) for _, v in same)) for name, same in grouped)
    )


def table(headers: Sequence[str], rows: Iterable[Sequence[object]]) -> Markup:
    """A table; a wide one scrolls by itself."""
    head = tag("tr", *(tag("th", header, scope="col") for header in headers))
    body = (tag("tr", *(tag("td", cell) for cell in row)) for row in rows)
    made = tag("table", tag("thead", head), tag("tbody", *body))
    return tag("div", made, class_="wide")


def sentence_of(words: str) -> str:
    """``words`` with a capital and a full stop."""
    return f"{words[:1].upper()}{words[1:]}."
