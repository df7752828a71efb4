"""Reports whose every text tries to break out of the form that it is rendered in."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from sample_report import check, facts, failed_check, parity

from bnexport.ledger import Ledger, LedgerRow
from bnexport.parity.result import Parity, Wrong
from bnexport.report import document, dumps

NAMES = (
    "<script>alert(1)</script>",
    "\"'><img src=x onerror=alert(1)>",
    "]]>",
    "a|b",
    "`code` ```fence```",
    "one\ntwo\r\n\n# three",
    "\x00\x01\x1b[31m\x7f\ufffe\u202e",
    "\ud800",
    "[link](javascript:alert(1)) ![i](http://x) {0} @user",
    "&amp; &#60;",
    "layer." * 2000,
)


def plain(facts_: Any) -> dict[str, Any]:
    """The document as it is read back from its file."""
    read: dict[str, Any] = json.loads(dumps(document(facts_)))
    return read


def hostile(name: str) -> dict[str, Any]:
    """A failed conversion in which everything is named ``name``."""
    wrong = Wrong(name, name, name, name, 3)
    failing = failed_check(output=name, runtime=name, precision=name, detail=name)
    moved = check(kind="alone", output=name, passed=False, ratio=3.0, detail=name)
    judged = replace(parity(failing, moved), reference=name, located=name, origin=wrong)
    judged = replace(judged, skipped=(replace(judged.skipped[0], runtime=name, reason=name),))
    rows = tuple(
        LedgerRow(name, name, 3, fate, name, name)
        for fate in ("absorbed", "reduced", "merged", "kept", "unused")
    )
    base = facts()
    given = facts(
        source=replace(base.source, name=name, path=None, notes=(name,)),
        ledger=Ledger(rows),
        parity=judged,
        notes=(name,),
        options={name: name},
        passes=tuple(replace(each, name=name) for each in base.passes),
    )
    return plain(given) | {"versions": {name: name}}


def verification(given: Parity, **changes: Any) -> dict[str, Any]:
    """What ``bnexport verify --json`` prints."""
    from bnexport.report import parity_json

    made = {
        "schema": "bnexport.verification/1",
        "a": "model.pt",
        "b": "out/model.onnx",
        "ok": given.ok,
        "options": {"batch": [1, 8], "atol": None, "rtol": None, "mixes_batch": False},
        "parity": parity_json(given),
        "versions": {"bnexport": "0.1.0"},
    }
    read: dict[str, Any] = json.loads(dumps(made | changes))
    return read


def nothing_compared() -> dict[str, Any]:
    """A conversion without a single check."""
    return plain(facts(parity=replace(parity(), checks=())))
