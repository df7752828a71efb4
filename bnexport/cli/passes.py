"""``bnexport passes``."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

import click

from bnexport.cli.answer import Answer
from bnexport.cli.command import Command
from bnexport.cli.options import speech_options

if TYPE_CHECKING:
    import onnx_ir as ir
    from rich.console import Console

__all__ = ["passes_command"]

SCHEMA = "bnexport.passes/1"


@click.command("passes", cls=Command)
@speech_options
def passes_command() -> Answer:
    """List the graph passes in the order in which `convert` runs them."""
    from bnexport.passes.graphs import pipeline

    listed = [
        {**_described(each), "steps": [_described(step) for step in getattr(each, "steps", ())]}
        for each in pipeline(lambda fate: None)
    ]
    return Answer({"schema": SCHEMA, "passes": listed}, lambda console: _show(console, listed))


def _described(step: ir.passes.PassBase) -> dict[str, str]:
    return {"name": _name(step), "line": _line(step)}


def _name(step: ir.passes.PassBase) -> str:
    """The name by which the report calls it."""
    return type(step).__name__.removesuffix("Pass")


def _line(step: ir.passes.PassBase) -> str:
    return (inspect.getdoc(type(step)) or "").partition("\n")[0]


def _show(console: Console, listed: list[dict[str, Any]]) -> None:
    from bnexport.cli.layout import columns, rows

    table = columns("", "pass", "what it does", wide="what it does", left=("pass",))
    cells = []
    for place, each in enumerate(listed, 1):
        cells.append([str(place), each["name"], each["line"]])
        cells += [["", f"  {step['name']}", step["line"]] for step in each["steps"]]
    rows(console, table, cells)
