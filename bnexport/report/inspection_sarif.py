"""What an inspection found as SARIF 2.1.0, for code scanning."""

from __future__ import annotations

from typing import Any

from bnexport.health.findings.catalogue import RULES
from bnexport.printable import printable
from bnexport.report.sarif_parts import file_of, message, result, rule

__all__ = ["log"]

Document = dict[str, Any]

_CODES = list(RULES)


def log(found: Document) -> str:
    """The whole file. What is ignored stands there as suppressed, as the format has it."""
    rules = [
        rule(
            code,
            each.title,
            each.severity,
            fullDescription=message(f"{each.effect}."),
            help=message(f"{each.remedy}."),
        )
        for code, each in RULES.items()
    ]
    results = [_result(each, found) for each in found["findings"]]
    results += [
        _result(each, found) | {"suppressions": [{"kind": "external"}]} for each in found["ignored"]
    ]
    return file_of(
        found["versions"].get("bnexport", ""), rules, {"executionSuccessful": True}, results
    )


def _result(finding: Document, found: Document) -> Document:
    name = finding["layer"] or found["source"]["name"]
    logical = {"fullyQualifiedName": printable(name), "kind": "layer"}
    place = finding["code"], _CODES.index(finding["code"])
    text = f"{name}: {finding['what']}. {finding['remedy']}."
    return result(place, finding["severity"], text, logical, found["source"]["path"])
