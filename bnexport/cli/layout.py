"""The two shapes that the terminal output is made of: labelled lines and plain tables."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from bnexport.printable import printable

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

__all__ = ["BAD", "GOOD", "Cell", "columns", "emit", "fields", "rows", "words", "wrote"]

LABEL = 9
GOOD, BAD = "green", "bold red"

Cell = str | Text


def fields(console: Console, pairs: Iterable[tuple[str, Cell]]) -> None:
    """Lines of a label and a text that wraps beside it."""
    table = Table.grid(padding=(0, 1, 0, 0))
    table.add_column(width=LABEL, style="dim")
    table.add_column(overflow="fold")
    for label, text in pairs:
        table.add_row(label, words(text))
    if table.row_count:
        emit(console, table)


def columns(*headers: str, wide: str, left: Sequence[str] = ()) -> Table:
    """An empty table of right-aligned columns, but for those in ``left`` and for ``wide``.

    Args:
        headers: The columns.
        wide: The left-aligned one whose text is folded into the room that is left.
        left: Those that hold words.
    """
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim", pad_edge=False)
    for header in headers:
        if header == wide:
            table.add_column(header, overflow="fold")
        else:
            table.add_column(header, justify="left" if header in left else "right", no_wrap=True)
    return table


def rows(console: Console, table: Table, cells: Iterable[Sequence[Cell]]) -> None:
    """Fill the table and print it, indented."""
    for row in cells:
        table.add_row(*map(words, row))
    emit(console, Padding(table, (0, 0, 0, 2), expand=False))


def emit(console: Console, table: RenderableType) -> None:
    """Print without the spaces with which rich fills the lines up."""
    with console.capture() as captured:
        console.print(table)
    for line in captured.get().splitlines():
        console.file.write(line.rstrip() + "\n")


def words(text: Cell) -> Text:
    """``text`` as rich shows it, without control characters or markup."""
    return text if isinstance(text, Text) else Text(printable(text))


def wrote(console: Console, path: str, what: str) -> None:
    """Say what was written; a path is copied and pasted, so it goes on one line whatever the width."""
    line = Text(f"{'wrote':<9} ", "dim").append(printable(path), "bold not dim")
    console.print(line.append(f" ({what})", "not dim"), soft_wrap=True)
