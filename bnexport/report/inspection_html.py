"""What an inspection found, as one HTML page that needs nothing else."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from bnexport.report.charts import ranges
from bnexport.report.html_parts import document, folded, pairs, section, table
from bnexport.report.inspection_parts import Group, counted, grouped, verdict
from bnexport.report.markup import Markup, join, tag

__all__ = ["page"]

Document = dict[str, Any]

_HEADS = (
    *("layer", "kind", "ch", "follows", "feeds", "mean", "variance", "gamma"),
    *("eps", "momentum", "batches", "mode"),
)


def page(found: Document) -> str:
    """The whole page."""
    name = found["source"]["name"]
    word = verdict(found["findings"])
    bad = any(each["severity"] == "error" for each in found["findings"])
    head = tag(
        "header",
        tag("h1", name),
        tag("p", tag("strong", word, class_="bad" if bad else "good"), class_="verdict"),
        tag("p", found["note"]) if found["note"] else "",
    )
    parts = (
        head,
        *map(_group, grouped(found["findings"])),
        _norms(found.get("batch_norms", ())),
        _others(found.get("other_norms", ())),
        _ignored(found["ignored"]),
        _about(found),
    )
    return document(f"{name}: {word}", *parts)


def _group(group: Group) -> Markup:
    grave = tag("span", group.severity, class_="bad" if group.severity == "error" else None)
    rows = [[tag("code", each["layer"] or "the model"), each["what"]] for each in group.findings]
    listed = table(("layer", "what"), rows)
    return section(
        f"{group.code} {group.title}: {counted(len(rows), 'layer')}",
        tag("p", grave, f": {group.effect}."),
        tag("p", tag("b", "Remedy: "), f"{group.remedy}."),
        listed if len(rows) <= 8 else folded(f"{len(rows)} layers", listed),
    )


def _norms(norms: Sequence[Document]) -> Markup:
    if not norms:
        return join()
    drawn = ranges(norms)
    listed = table(_HEADS, map(_norm, norms))
    return section(f"BatchNorm: {len(norms)}", drawn or "", folded("Every layer", listed))


def _norm(norm: Document) -> list[object]:
    spans = (_span(norm[f"{name}_range"]) for name in ("mean", "var", "weight"))
    return [
        tag("code", norm["name"] or "the model"),
        *(norm["kind"], norm["channels"] or "?"),
        *(", ".join(norm[side]) if norm[side] else "-" for side in ("follows", "feeds")),
        *spans,
        *(
            "-" if norm[name] is None else f"{norm[name]:g}"
            for name in ("eps", "momentum", "tracked")
        ),
        "train" if norm["training"] else "eval",
    ]


def _span(ends: Sequence[Any] | None) -> str:
    return "-" if ends is None else " to ".join(f"{float(end):.3g}" for end in ends)


def _others(norms: Sequence[Document]) -> Markup:
    if not norms:
        return join()
    rows = [[tag("code", each["name"]), each["kind"], each["settings"]] for each in norms]
    return section(
        f"Other normalisation: {len(norms)}",
        folded("Every layer", table(("layer", "kind", "settings"), rows)),
    )


def _ignored(findings: Sequence[Document]) -> Markup:
    if not findings:
        return join()
    rows = [[each["code"], tag("code", each["layer"]), each["what"]] for each in findings]
    return section(
        f"Ignored on demand: {len(findings)}",
        folded("Every one", table(("code", "layer", "what"), rows)),
    )


def _about(found: Document) -> Markup:
    def told() -> Iterator[tuple[str, str]]:
        source = found["source"]
        yield "model", f"{source['path'] or source['name']} ({source['format']})"
        for note in source["notes"]:
            yield "note", note
        if found["kind"] == "module":
            yield "class", f"{found['class']}, {found['parameters']:,} parameters"

    versions = folded("Versions", pairs(found["versions"].items()))
    return section("What was read", pairs(told()), versions)
