"""What a SARIF 2.1.0 file is made of.

https://docs.oasis-open.org/sarif/sarif/v2.1.0/sarif-v2.1.0.html
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from bnexport.printable import printable

__all__ = ["file_of", "message", "result", "rule"]

Document = dict[str, Any]

SCHEMA = (
    "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
)


def file_of(
    version: str, rules: Sequence[Document], invocation: Document, results: Iterable[Document]
) -> str:
    """The whole file: one run, that of bnexport.

    Args:
        version: Of bnexport.
        rules: Those that the results refer to.
        invocation: How the run ended.
        results: What was found.
    """
    driver = {"name": "bnexport", "version": printable(version), "rules": list(rules)}
    run = {
        "tool": {"driver": driver},
        "invocations": [invocation],
        "columnKind": "unicodeCodePoints",
        "results": list(results),
    }
    document = {"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}
    return json.dumps(document, indent=2, allow_nan=False, ensure_ascii=False) + "\n"


def rule(name: str, text: str, level: str, **more: object) -> Document:
    """One kind of finding."""
    return {
        "id": name,
        "shortDescription": {"text": text},
        "defaultConfiguration": {"level": level},
        **more,
    }


def result(
    place: tuple[str, int], level: str, text: str, logical: Document, path: str | None
) -> Document:
    """One finding.

    Args:
        place: The rule, and where in the list of the rules it stands.
        level: ``error``, ``warning`` or ``note``.
        text: What was found.
        logical: The layer or output, as a logical location; may be empty.
        path: The file that was looked at.
    """
    location: Document = {"logicalLocations": [logical]} if logical else {}
    if path:
        location["physicalLocation"] = {"artifactLocation": {"uri": _uri(path)}}
    return {
        "ruleId": place[0],
        "ruleIndex": place[1],
        "level": level,
        "message": message(text),
        "locations": [location] if location else [],
    }


def _uri(path: str) -> str:
    """A path as a URI; one that is not absolute stays so, for the reader to resolve."""
    given = Path(path)
    encoded = quote(str(given), safe="/", errors="surrogatepass")
    return f"file://{encoded}" if given.is_absolute() else encoded


def message(text: str) -> Document:
    """Plain text, in which nothing is a placeholder (3.11.5) or a link (3.11.6)."""
    shown = printable(text).replace("{", "{{").replace("}", "}}")
    if "](" in shown:
        shown = shown.replace("\\", "\\\\").replace("[", "\\[").replace("]", "\\]")
    return {"text": shown}
