"""The report as SARIF 2.1.0, the form in which code scanning reads findings.

https://docs.oasis-open.org/sarif/sarif/v2.1.0/sarif-v2.1.0.html. A failed check is an error, a BatchNorm
that was kept for a reason is a warning; both carry the layer's name as their logical location.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

from bnexport.printable import printable
from bnexport.report.reading import NOTHING, ledger_rows
from bnexport.report.runs import KINDS, failures, ratio, sentence

__all__ = ["log"]

Document = dict[str, Any]

SCHEMA = (
    "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
)
RULES = {
    **{kind: f"An output {words}." for kind, words in KINDS.items()},
    "nothing": "Nothing was compared.",
    "kept": "A BatchNorm is still in the file.",
}
RULE_IDS = list(RULES)


def log(report: Document) -> str:
    """The whole file: one run, that of bnexport."""
    driver = {
        "name": "bnexport",
        "version": printable(report["versions"].get("bnexport", "")),
        "rules": [_rule(name) for name in RULES],
    }
    run = {
        "tool": {"driver": driver},
        "invocations": [_invocation(report)],
        "columnKind": "unicodeCodePoints",
        "results": [*_failed(report), *_kept(report)],
    }
    document = {"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}
    return json.dumps(document, indent=2, allow_nan=False, ensure_ascii=False) + "\n"


def _rule(name: str) -> Document:
    level = "warning" if name == "kept" else "error"
    return {
        "id": name,
        "shortDescription": {"text": RULES[name]},
        "defaultConfiguration": {"level": level},
    }


def _invocation(report: Document) -> Document:
    """That the verification ran to its end, and what of it could not be run."""
    notes = [
        {"level": "note", "message": _message(f"skipped {each['runtime']}: {each['reason']}")}
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
        yield _result(check["kind"], "error", text, place, report) | {
            "properties": properties | {"batch": check["batch"]} | numbers
        }
    if not parity["checks"]:
        yield _result("nothing", "error", NOTHING, {}, report)


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
            yield _result("kept", "warning", text, place, report)


def _result(rule: str, level: str, text: str, place: Document, report: Document) -> Document:
    location: Document = {"logicalLocations": [place]} if place else {}
    if path := (report["source"]["path"] if "source" in report else report["b"]):
        location["physicalLocation"] = {"artifactLocation": {"uri": _uri(path)}}
    return {
        "ruleId": rule,
        "ruleIndex": RULE_IDS.index(rule),
        "level": level,
        "message": _message(text),
        "locations": [location] if location else [],
    }


def _uri(path: str) -> str:
    """A path as a URI; one that is not absolute stays so, for the reader to resolve."""
    given = Path(path)
    encoded = quote(str(given), safe="/", errors="surrogatepass")
    return f"file://{encoded}" if given.is_absolute() else encoded


def _message(text: str) -> Document:
    """Plain text, in which nothing is a placeholder (3.11.5) or a link (3.11.6)."""
    shown = printable(text).replace("{", "{{").replace("}", "}}")
    if "](" in shown:
        shown = shown.replace("\\", "\\\\").replace("[", "\\[").replace("]", "\\]")
    return {"text": shown}
