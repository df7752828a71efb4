"""``bnexport inspect FILE --contents``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from bnexport.cli.answer import Answer
from bnexport.errors import ParityFailure

if TYPE_CHECKING:
    from rich.console import Console

    from bnexport.cli.layout import Cell

__all__ = ["contents_answer"]

_SHOWN = 12
# --fail-on speaks of findings; a danger is an error, a risk a warning.
_GRAVE = {
    "never": (),
    "error": ("danger",),
    "warning": ("danger", "risk"),
    "note": ("danger", "risk"),
}


def contents_answer(ctx: click.Context, model: str | None, every: bool, fail_on: str) -> Answer:
    """What the file holds; the exit code is 1 where a risk is as grave as ``fail_on``."""
    if model is None:
        raise click.UsageError("--contents is of a file: name it.", ctx)
    from bnexport.contents import contents_of

    document = contents_of(model).to_json()

    def show(console: Console) -> None:
        _show(console, document, every)

    grave = any(each["severity"] in _GRAVE[fail_on] for each in document["risks"])
    return Answer(document, show, exit_code=ParityFailure.exit_code if grave else 0)


def _show(console: Console, document: dict[str, Any], every: bool) -> None:
    from bnexport.cli.layout import columns, fields, rows
    from bnexport.report.runs import size

    fields(console, _head(document))
    tensors = document["tensors"]
    if tensors:
        shown = tensors if every else tensors[:_SHOWN]
        table = columns("tensor", "type", "shape", "size", wide="tensor", left=("type", "shape"))
        listed = [
            [
                each["name"],
                each["dtype"],
                "x".join(map(str, each["shape"])) or "scalar",
                size(each["bytes"]),
            ]
            for each in shown
        ]
        rows(console, table, listed)
        if len(tensors) > len(shown):
            fields(console, [("", f"and {len(tensors) - len(shown)} more (--layers)")])
    fields(console, _risks(document))


def _head(document: dict[str, Any]) -> Iterator[tuple[str, Cell]]:
    from bnexport.report.runs import size

    yield "file", f"{document['path']} ({document['kind']}, {size(document['bytes'])})"
    if document["records"]:
        yield "records", f"{len(document['records'])}"
    for standing, title in (
        ("never", "never"),
        ("class", "classes"),
        ("layer", "layers"),
        ("plain", "plain"),
    ):
        names = [each["name"] for each in document["names"] if each["standing"] == standing]
        if names:
            yield title, ", ".join(names)
    for name, value in document["facts"].items():
        if value:
            yield name[:9], _told(value)
    if document["tensors"]:
        total = sum(each["bytes"] for each in document["tensors"])
        yield "tensors", f"{len(document['tensors'])}, {size(total)} together"


def _told(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {each}" for key, each in value.items())
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _risks(document: dict[str, Any]) -> Iterator[tuple[str, Cell]]:
    from rich.text import Text

    from bnexport.cli.layout import BAD, GOOD
    from bnexport.printable import printable

    for each in document["risks"]:
        style = BAD if each["severity"] == "danger" else "yellow"
        yield each["severity"], Text(printable(each["text"]), style)
    if not document["risks"]:
        yield "risks", Text("none: data alone, and layers of torch itself", GOOD)
