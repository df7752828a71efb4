"""What every rendering says first of a report: what it is about, and the verdict.

There are two documents: that of a conversion, ``bnexport.report/1``, and that of ``bnexport verify``,
``bnexport.verification/1``, which has no ledger, sizes or files.
"""

from __future__ import annotations

from pathlib import PurePath
from typing import Any

from bnexport.report.runs import failures

__all__ = ["NOTHING", "about", "facts", "ledger_rows", "precision", "singles", "subject", "verdict"]

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


def precision(report: Document) -> str:
    """What computes in half precision, in one clause; empty where nothing does."""
    lowered = report.get("precision")
    if not lowered:
        return ""
    trials = lowered["trials"]
    tried = f", found in {trials} trial{'s' if trials > 1 else ''}" if trials else ""
    return (
        f"{lowered['dtype']} in {lowered['nodes']} nodes, float32 in {len(lowered['stays'])}{tried}; "
        f"inputs and outputs {lowered['io']}"
    )


def singles(report: Document) -> list[tuple[str, str, str]]:
    """The nodes that stay in float32: name, operator, reason."""
    stays = (report.get("precision") or {}).get("stays", ())
    return [(node["module"] or node["value"], node["operator"], node["reason"]) for node in stays]


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
