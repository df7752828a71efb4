"""The report as SARIF 2.1.0, the form in which code scanning reads findings.

https://docs.oasis-open.org/sarif/sarif/v2.1.0/sarif-v2.1.0.html. A failed check is an error, a BatchNorm
that was kept for a reason is a warning; both carry the layer's name as their logical location.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from bnexport.printable import printable
from bnexport.report.reading import NOTHING, ledger_rows
from bnexport.report.runs import KINDS, failures, ratio, sentence
from bnexport.report.sarif_parts import file_of, message, result, rule

__all__ = ["log"]

Document = dict[str, Any]

RULES = {
    **{kind: f"An output {words}." for kind, words in KINDS.items()},
    "nothing": "Nothing was compared.",
    "kept": "A BatchNorm is still in the file.",
}
RULE_IDS = list(RULES)


def log(report: Document) -> str:
    """The whole file: one run, that of bnexport."""
    rules = [rule(name, RULES[name], "warning" if name == "kept" else "error") for name in RULES]
    version = report["versions"].get("bnexport", "")
    return file_of(version, rules, _invocation(report), [*_failed(report), *_kept(report)])


def _invocation(report: Document) -> Document:
    """That the verification ran to its end, and what of it could not be run."""
    notes = [
        {"level": "note", "message": message(f"skipped {each['runtime']}: {each['reason']}")}
        for each in report["parity"]["skipped"]
    ]
    end = {"endTimeUtc": report["created"]} if "created" in report else {}
    return {"executionSuccessful": True, **end, "toolExecutionNotifications": notes}


def _failed(report: Document) -> Iterator[Document]:
    parity = report["parity"]
    for check in failures(parity["checks"]):
        located = parity.get("located") if check["kind"] == "agreement" else ""
        text = sentence(check) + (f". It starts in {located}" if located else "")
        place = _logical(check, parity.get("origin"))
        properties = {name: printable(check[name]) for name in ("runtime", "precision", "output")}
        share = ratio(check)
        numbers = {"timesTheLimit": share} if math.isfinite(share) else {}
        yield _found(check["kind"], "error", text, place, report) | {
            "properties": properties | {"batch": check["batch"]} | numbers
        }
    if not parity["checks"]:
        yield _found("nothing", "error", NOTHING, {}, report)


def _logical(check: Document, origin: Document | None) -> Document:
    """The layer where a disagreement starts; where it is not known, the output that is wrong."""
    if check["kind"] == "agreement" and origin and origin["layer"]:
        return {"fullyQualifiedName": printable(origin["layer"]), "kind": "layer"}
    return {"fullyQualifiedName": printable(check["output"]), "kind": "output"}


def _kept(report: Document) -> Iterator[Document]:
    for row in ledger_rows(report):
        if row["fate"] == "kept" and row["reason"]:
            place = {"fullyQualifiedName": printable(row["name"]), "kind": "layer"}
            text = f"{row['kind']} {row['name']!r} is kept: {row['reason']}"
            yield _found("kept", "warning", text, place, report)


def _found(name: str, level: str, text: str, place: Document, report: Document) -> Document:
    path = report["source"]["path"] if "source" in report else report["b"]
    return result((name, RULE_IDS.index(name)), level, text, place, path)
