"""Read a saved JSON report: that of a conversion, of a verification, or of one that failed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import Any

from bnexport.errors import Refused
from bnexport.report.document import SCHEMA
from bnexport.report.form import faults

__all__ = ["read_report"]

Document = dict[str, Any]

VERIFICATION = "bnexport.verification/1"
FAILURE = "bnexport.error/1"
REMEDY = (
    "Give OUT.report.json, or what `bnexport convert`, `fold` or `verify` printed with `--json`"
)


def read_report(path: Path) -> Document:
    """The document in the file, known to be of the form that ``schema.json`` gives.

    Of an error that carries a report, as ``--json`` prints it, that report.

    Raises:
        Refused: There is no such file, or it is no report.
    """
    what = f"{path} is no report"
    try:
        report = json.loads(path.read_bytes())
    except OSError as error:
        raise Refused(f"cannot read {path}", error.strerror or str(error), REMEDY) from error
    except (ValueError, RecursionError) as error:
        raise Refused(what, f"it is not JSON: {error}", REMEDY) from error
    if not isinstance(report, dict):
        raise Refused(what, "it is no JSON object", REMEDY)
    found = _carried(report, what) if report.get("schema") == FAILURE else report
    if fault := next(_faults(found), ""):
        raise Refused(what, fault, REMEDY)
    return found


def _carried(error: Document, what: str) -> Document:
    report = error.get("report")
    if not isinstance(report, dict):
        raise Refused(what, "it is an error that came before any check", REMEDY)
    return report


def _faults(report: Document) -> Iterator[str]:
    """Where the document is not of its form; first, whether it says which form that is."""
    form = json.loads(resources.files("bnexport.report").joinpath("schema.json").read_text("utf-8"))
    name = report.get("schema")
    if name == SCHEMA:
        return faults(report, form, form)
    if name == VERIFICATION:
        return faults(report, form["$defs"]["verification"], form)
    return iter([f"its schema is {name!r}, not {SCHEMA} or {VERIFICATION}"])
