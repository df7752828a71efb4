"""The report as Markdown that fits a GitHub job summary: the verdict, one table, what failed.

Text from a model is written with character references for whatever Markdown or HTML gives a meaning to;
a reference never starts a structure (CommonMark 2.5), so it is the same in a table and outside.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from bnexport.printable import printable
from bnexport.report.reading import ledger_rows, precision, singles, subject, verdict
from bnexport.report.runs import Run, failures, held_against, ratio, runs, sentence, size

__all__ = ["summary"]

Document = dict[str, Any]

SHOWN = 20
LONGEST = 400
ENDS = ("before", "after")
SPECIAL = re.compile(
    r"[&<>|`*_\[\]\\~#@$!]|:(?=//)|(?<=www)\.|^[-+=](?=.)|^\d(?=\d*[.)](\s|$))", re.IGNORECASE
)
HEADERS = ("runtime", "precision", "batch", "error", "limit", "of the limit", "independent", "")


def summary(report: Document) -> str:
    """The whole text."""
    parity = report["parity"]
    sign = "✅ passed" if report["ok"] else "❌ FAILED"
    made = runs(parity)
    blocks = [
        f"## {sign}: {_code(subject(report))}",
        f"{_text(verdict(report)).capitalize()}; {_text(held_against(parity))}.",
        _table(HEADERS, map(_run, made)) if made else "",
        _failed(parity),
        _list("Skipped", [f"{each['runtime']}: {each['reason']}" for each in parity["skipped"]]),
        _batch_norms(ledger_rows(report)),
        _precision(report),
        _sizes(report.get("sizes")),
    ]
    return "\n\n".join(filter(None, blocks)) + "\n"


def _run(run: Run) -> list[str]:
    independent = {None: "-", True: "yes", False: "**NO**"}[run.independent]
    share = "-" if run.worst is None else f"{ratio(run.worst):.3g}"
    return [
        _code(run.runtime),
        *(_text(cell) for cell in (run.precision, run.batch, run.error, run.limit, share)),
        independent,
        "ok" if run.passed else "**FAIL**",
    ]


def _failed(parity: Document) -> str:
    lines = [sentence(check) for check in failures(parity["checks"])]
    block = _list("What failed", lines)
    if lines and parity.get("located"):
        block += f"\n\nIt starts in {_text(parity['located'])}."
    return block


def _batch_norms(rows: Sequence[Document]) -> str:
    if not rows:
        return ""
    totals = Counter(row["fate"] for row in rows)
    counts = ", ".join(f"{count} {_text(fate)}" for fate, count in totals.items())
    kept = [f"{row['name']}: {row['reason']}" for row in rows if row["fate"] == "kept"]
    return "\n\n".join(filter(None, [f"BatchNorm {len(rows)}: {counts}.", _list("Kept", kept)]))


def _precision(report: Document) -> str:
    told = precision(report)
    lines = [f"{name} ({operator}): {reason}" for name, operator, reason in singles(report)]
    block = f"Precision: {_text(told)}." if told else ""
    return "\n\n".join(filter(None, [block, _list("Float32", lines)]))


def _sizes(sizes: Document | None) -> str:
    if sizes is None:
        return ""
    before, after = (
        f"{size(part['bytes'])}, {part['nodes']} nodes" for part in map(sizes.__getitem__, ENDS)
    )
    return f"Size: {before} → {after}."


def _list(title: str, lines: Sequence[str]) -> str:
    if not lines:
        return ""
    shown = [f"- {_text(line)}" for line in lines[:SHOWN]]
    more = len(lines) - SHOWN
    shown += [f"- and {more} more: the JSON report lists them all"] if more > 0 else []
    return "\n".join([f"### {title}", "", *shown])


def _table(headers: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [headers, ["---"] * len(headers), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _code(given: object) -> str:
    return f"<code>{_text(given)}</code>"


def _text(given: object) -> str:
    """One line of text that is only text."""
    line = " ".join(printable(given).split())
    short = line if len(line) <= LONGEST else f"{line[: LONGEST - 1]}…"
    return SPECIAL.sub(lambda found: f"&#{ord(found[0])};", short)
