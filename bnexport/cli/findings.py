"""Findings on a terminal: together by code, with what each does and how it is mended."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["show_findings"]

_SHOWN = 3


def show_findings(console: Console, document: dict[str, Any], every: bool) -> None:
    """The gravest first; of each code the first few layers, or all of them."""
    from rich.text import Text

    from bnexport.cli.layout import BAD, GOOD, fields
    from bnexport.report.inspection_parts import grouped, verdict

    if document["note"]:
        fields(console, [("note", document["note"])])
    for group in grouped(document["findings"]):
        style = {"error": BAD, "warning": "yellow"}.get(group.severity, "")
        shown = group.findings if every else group.findings[:_SHOWN]
        lines = [f"{each['layer'] or 'the model'}: {each['what']}" for each in shown]
        if more := len(group.findings) - len(shown):
            lines.append(f"and {more} more (--layers)")
        fields(
            console,
            [
                (group.severity, Text(f"{group.code} {group.title}", style)),
                *(("", line) for line in lines),
                ("effect", f"{group.effect}."),
                ("remedy", f"{group.remedy}."),
            ],
        )
    if document["ignored"]:
        codes = ", ".join(sorted({each["code"] for each in document["ignored"]}))
        fields(console, [("ignored", f"{len(document['ignored'])} on demand: {codes}")])
    errors = any(each["severity"] == "error" for each in document["findings"])
    fields(console, [("verdict", Text(verdict(document["findings"]), BAD if errors else GOOD))])
