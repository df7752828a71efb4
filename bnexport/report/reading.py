"""What every rendering says first of a report: what it is about, and the verdict.

There are two documents: that of a conversion, ``bnexport.report/1``, and that of ``bnexport verify``,
``bnexport.verification/1``, which has no ledger, sizes or files.
"""

from __future__ import annotations

from pathlib import PurePath
from typing import Any

from bnexport.report.runs import failures

__all__ = ["NOTHING", "about", "facts", "ledger_rows", "subject", "verdict"]

NOTHING = "nothing was compared"

Document = dict[str, Any]


def subject(report: Document) -> str:
    """The name of what was judged."""
    if "source" not in report:
        return PurePath(report["b"]).name or report["b"]
    path = report["source"]["path"]
    return PurePath(path).name if path else report["source"]["name"]


def about(report: Document) -> str:
    """What was judged, by what."""
    if "source" in report:
        return f"{subject(report)}, converted to {', '.join(report['targets'])}"
    return f"{subject(report)}, judged by {report['a']}"


def verdict(report: Document) -> str:
    """One clause on the checks."""
    checks = report["parity"]["checks"]
    failed = len(failures(checks))
    if not checks:
        return NOTHING
    of = "the only check" if len(checks) == 1 else f"all {len(checks)} checks"
    return f"{failed} of {len(checks)} checks failed" if failed else f"{of} passed"


def ledger_rows(report: Document) -> list[Document]:
    """The ledger's rows; none of a verification."""
    rows: list[Document] = report.get("ledger", {}).get("rows", [])
    return rows


def facts(report: Document) -> list[tuple[str, str]]:
    """What the result rests on, by label: the files, the inputs, the yardstick, the notes."""
    if "source" not in report:
        return [("judged by", str(report["a"])), ("file", str(report["b"])), *_notes(report)]
    source, inputs = report["source"], report["inputs"]
    shapes = ", ".join(map(_input, inputs["specs"]))
    return [
        ("model", source["path"] or source["name"]),
        ("format", source["format"]),
        *([("sha256", source["sha256"])] if source["sha256"] else []),
        ("created", report["created"]),
        ("inputs", shapes + (" (samples from a file)" if inputs["real"] else "")),
        *([("assumed", inputs["assumed"])] if inputs["assumed"] else []),
        *(("note", note) for note in source["notes"]),
        *_notes(report),
    ]


def _notes(report: Document) -> list[tuple[str, str]]:
    return [("note", note) for note in report.get("notes", ())]


def _input(spec: Document) -> str:
    return f"{spec['name']} {'x'.join(map(str, spec['shape']))} {spec['dtype']}"
