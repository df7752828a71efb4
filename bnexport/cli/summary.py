"""The summary of a conversion, read off its report document."""

from __future__ import annotations

from collections.abc import Iterator
from os import PathLike, fspath
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from rich.text import Text

from bnexport.cli.layout import BAD, GOOD, Cell, columns, fields, rows, wrote
from bnexport.cli.parity_table import show_parity
from bnexport.report.reading import precision, singles
from bnexport.report.runs import size

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["show_ledger", "show_parity", "show_summary"]

KEPT_SHOWN = 20
WORDS = ("name", "kind")

Document = dict[str, Any]


def show_summary(
    console: Console,
    report: Document,
    path: PathLike[str] | None = None,
    *,
    every_row: bool = False,
    every_pass: bool = False,
) -> None:
    """Print what a conversion did.

    Args:
        console: Where to.
        report: The report document.
        path: Where it lies.
        every_row: Print the ledger's rows, too.
        every_pass: Print what each pass did, too.
    """
    fields(console, _model(report))
    if every_pass:
        show_passes(console, report["passes"])
    show_ledger(console, report["ledger"], every_row=every_row)
    if report.get("precision"):
        fields(console, _precision(report))
    fields(console, [("size", _sizes(report["sizes"]))])
    show_parity(console, report["parity"])
    _show_files(console, report["files"], path)
    fields(console, [("done", _verdict(report))])


def show_ledger(console: Console, ledger: Document, *, every_row: bool = False) -> None:
    """Print the totals, every BatchNorm that was kept, and with ``every_row`` the others, too."""
    totals, every = ledger["totals"], ledger["rows"]
    fates = ", ".join(f"{count} {fate}" for fate, count in totals.items())
    fields(console, [("BatchNorm", f"{len(every)}: {fates}" if every else "none")])
    if every_row:
        cells = [[r["name"], r["kind"], str(r["channels"] or "?"), _fate(r)] for r in every]
        rows(console, columns("name", "kind", "channels", "fate", wide="fate", left=WORDS), cells)
        return
    kept = [row for row in every if row["fate"] in ("kept", "reduced")]
    fields(console, [(r["fate"], f"{r['name']}: {r['reason']}") for r in kept[:KEPT_SHOWN]])
    if len(kept) > KEPT_SHOWN:
        fields(console, [("", f"and {len(kept) - KEPT_SHOWN} more: --ledger lists them")])


def show_passes(console: Console, passes: list[Document]) -> None:
    """Print what each pass did and how long it took."""
    table = columns("pass", "changed", "nodes", "", "seconds", wide="pass")
    cells: list[list[Cell]] = [
        [
            run["name"],
            "yes" if run["modified"] else "-",
            str(run["nodes_before"]),
            f"-> {run['nodes_after']}",
            f"{run['seconds']:.3f}",
        ]
        for run in passes
    ]
    rows(console, table, cells)


def _model(report: Document) -> Iterator[tuple[str, Cell]]:
    source, inputs = report["source"], report["inputs"]
    name = PurePath(source["path"]).name if source["path"] else source["name"]
    digest = f", sha256 {source['sha256'][:12]}" if source["sha256"] else ""
    yield "model", f"{name} ({source['format']}{digest})"
    for note in (*source["notes"], *report["notes"]):
        yield "note", note
    if inputs["assumed"]:
        yield "assumed", Text(inputs["assumed"], "yellow")
    else:
        yield "input", ", ".join(map(_spec, inputs["specs"])) + _samples(inputs)


def _spec(spec: Document) -> str:
    return f"{spec['name']} {'x'.join(map(str, spec['shape']))} {spec['dtype']}"


def _samples(inputs: Document) -> str:
    return " (samples from the file given)" if inputs["real"] else ""


def _precision(report: Document) -> Iterator[tuple[str, Cell]]:
    """How much is half, and what stays in float32, with the reasons."""
    yield "precision", precision(report)
    found = singles(report)
    for name, operator, reason in found[:KEPT_SHOWN]:
        yield "float32", f"{name} ({operator}): {reason}"
    if (more := len(found) - KEPT_SHOWN) > 0:
        yield "", f"and {more} more: they are in the report"


def _sizes(sizes: Document) -> str:
    before, after = sizes["before"], sizes["after"]
    return f"{_size(before)} -> {_size(after)}"


def _size(part: Document) -> str:
    nodes = f", {part['nodes']} nodes" if part["nodes"] else ""
    return size(part["bytes"]) + nodes


def _fate(row: Document) -> str:
    if row["into"]:
        rest = f"; {row['reason']}" if row["reason"] else ""
        return f"{row['fate']} into {row['into']}{rest}"
    return f"{row['fate']}: {row['reason']}" if row["reason"] else str(row["fate"])


def _show_files(console: Console, files: list[Document], report: PathLike[str] | None) -> None:
    for file in files:
        wrote(console, file["path"], f"{file['role']}, {size(file['bytes'])}")
    if report is not None:
        wrote(console, fspath(report), "report")


def _verdict(report: Document) -> Text:
    seconds = sum(report["seconds"].values())
    checks = len(report["parity"]["checks"])
    if report.get("unchanged"):
        return Text(f"already, on {report['created']}, and unchanged; --force does it again", GOOD)
    if report["ok"]:
        return Text(f"in {seconds:.1f} s; all {checks} checks passed", GOOD)
    return Text(f"in {seconds:.1f} s; verification FAILED", BAD)
