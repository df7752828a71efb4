"""From a report document back to what it was written from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from bnexport.ledger import Ledger, LedgerRow
from bnexport.parity.result import Check, Parity, Point, Skipped, Wrong

__all__ = ["ledger_of", "parity_of"]

Document = Mapping[str, Any]


def ledger_of(document: Document) -> Ledger:
    """The ledger of a report."""
    return Ledger(tuple(LedgerRow(**row) for row in document["ledger"]["rows"]))


def parity_of(document: Document) -> Parity:
    """The verdicts of a report."""
    parity = document["parity"]
    origin = parity["origin"]
    return Parity(
        reference=parity["reference"],
        checks=tuple(_check(each) for each in parity["checks"]),
        skipped=tuple(Skipped(**each) for each in parity["skipped"]),
        batches=tuple(parity["batches"]),
        multiple=parity["multiple"],
        mixes_batch=parity["mixes_batch"],
        located=parity["located"],
        origin=None if origin is None else _wrong(origin),
    )


def _check(each: Document) -> Check:
    """NaN and the infinities are text in the document."""
    kinds = {field.name: field.type for field in fields(Check)}
    plain: dict[str, Any] = {
        name: float(value) if kinds[name] == "float" else _tuple(value)
        for name, value in each.items()
    }
    return Check(**plain)


def _wrong(origin: Document) -> Wrong:
    curve = tuple(Point(**{**point, "ratio": float(point["ratio"])}) for point in origin["curve"])
    return Wrong(**{**origin, "curve": curve})


def _tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
