"""The report as one HTML page that needs nothing else: no script, no font, no network."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from bnexport.report.charts import curve, spread
from bnexport.report.html_parts import document, folded, pairs, section, sentence_of, table
from bnexport.report.markup import Markup, join, tag, text
from bnexport.report.reading import (
    about,
    facts,
    ledger_rows,
    precision,
    singles,
    subject,
    verdict,
)
from bnexport.report.runs import (
    Check,
    Run,
    failures,
    held_against,
    ratio,
    runs,
    sentence,
    size,
    value,
)

__all__ = ["page"]

Document = dict[str, Any]

FATES = ("kept", "reduced", "merged", "absorbed", "unused")
OPEN = ("kept", "reduced")
# As in `parity.measure`, which cannot be imported without NumPy.
DECADES = (-6.0, 2.0)


def page(report: Document) -> str:
    """The whole page."""
    parts = (
        _head(report),
        _runs(report["parity"]),
        _failures(report["parity"]),
        _spread(report["parity"]["checks"]),
        _skipped(report["parity"]["skipped"]),
        _ledger(ledger_rows(report)),
        _precision(report),
        _sizes(report),
        _about(report),
    )
    return document(f"{'passed' if report['ok'] else 'FAILED'}: {subject(report)}", *parts)


def _head(report: Document) -> Markup:
    good = bool(report["ok"])
    word = tag("strong", "PASSED" if good else "FAILED", class_="good" if good else "bad")
    return tag(
        "header",
        tag("h1", subject(report)),
        tag("p", word, f" {verdict(report)}", class_="verdict"),
        tag("p", about(report)),
    )


def _runs(parity: Document) -> Markup:
    made = runs(parity)
    if not made:
        return section("Agreement", tag("p", "Nothing was compared: no runtime gave an output."))
    headers = ("runtime", "precision", "batch", "error", "limit", "of the limit", "independent", "")
    listed = table(headers, [_run(run) for run in made])
    return section("Agreement", tag("p", sentence_of(held_against(parity))), listed)


def _run(run: Run) -> list[object]:
    independent = {None: "-", True: "yes", False: "NO"}[run.independent]
    return [
        *(run.runtime, run.precision, run.batch, run.error, run.limit, _bar(run)),
        tag("span", independent, class_="bad") if run.independent is False else independent,
        tag("span", "ok" if run.passed else "FAIL", class_="good" if run.passed else "bad"),
    ]


def _bar(run: Run) -> Markup:
    """The error as a share of its limit: a full bar is the limit, or past it."""
    if run.worst is None:
        return text("-")
    share = ratio(run.worst)
    filled = min(max(share, 0.0), 1.0)
    bar = tag(
        "i",
        style=f"width:{100 * filled:.1f}%",
        class_="over" if share > 1 and not run.passed else None,
    )
    return join(tag("span", bar, class_="bar"), " ", _times(share))


def _times(share: float) -> str:
    if not math.isfinite(share):
        return "not measured"
    return f"{share:.0%}" if share <= 1 else f"{share:.3g} x"


def _failures(parity: Document) -> Markup:
    failed = failures(parity["checks"])
    if not failed:
        return join()
    found = [tag("p", tag("b", "It starts in "), _origin(parity))] if parity.get("located") else []
    return section("What failed", *found, *_curve(parity), tag("ul", *map(_failure, failed)))


def _curve(parity: Document) -> list[Markup]:
    origin = parity.get("origin") or {}
    drawn = curve(origin.get("curve", ()), origin.get("layer", "") or origin.get("value", ""))
    return [] if drawn is None else [drawn]


def _spread(checks: Sequence[Check]) -> Markup:
    drawn = spread(checks, DECADES)
    return join() if drawn is None else section("How the errors are spread", drawn)


def _origin(parity: Document) -> Markup:
    origin = parity.get("origin")
    if not origin:
        return text(parity["located"])
    where = join("layer ", tag("code", origin["layer"]), ", ") if origin["layer"] else ""
    rest = f": {origin['detail']} (values looked at: {origin['probes']})"
    return join(where, origin["operator"], " ", tag("code", origin["value"]), rest)


def _failure(check: Check) -> Markup:
    numbers = [
        f"largest difference {value(check['max_abs']):.3g}",
        f"relative {value(check['relative']):.3g}",
        f"limit {value(check['limit']):.3g}",
    ]
    if check["worst"]:
        numbers.append(f"at {check['worst']}")
    measured = math.isfinite(value(check["max_abs"])) and check["kind"] != "graph"
    return tag("li", sentence(check), *([tag("small", ", ".join(numbers))] if measured else []))


def _skipped(skipped: Sequence[Document]) -> Markup:
    if not skipped:
        return join()
    items = (tag("li", tag("b", each["runtime"]), f": {each['reason']}") for each in skipped)
    return section("Skipped", tag("ul", *items))


def _ledger(rows: Sequence[Document]) -> Markup:
    if not rows:
        return join()
    by_fate = {fate: [row for row in rows if row["fate"] == fate] for fate in FATES}
    return section(f"BatchNorm: {len(rows)}", *(_fate(f, r) for f, r in by_fate.items() if r))


def _fate(fate: str, rows: Sequence[Document]) -> Markup:
    cells = [
        [tag("code", r["name"]), r["kind"], r["channels"] or "?", r["into"], r["reason"]]
        for r in rows
    ]
    listed = table(("name", "kind", "channels", "into", "reason"), cells)
    return tag("details", tag("summary", f"{len(rows)} {fate}"), listed, open=fate in OPEN)


def _precision(report: Document) -> Markup:
    told = precision(report)
    if not told:
        return join()
    rows = [[tag("code", name), operator, reason] for name, operator, reason in singles(report)]
    listed = folded(
        f"{len(rows)} in float32", table(("layer or value", "operator", "reason"), rows)
    )
    return section("Precision", tag("p", sentence_of(told)), listed if rows else "")


def _sizes(report: Document) -> Markup:
    if "sizes" not in report:
        return join()
    sizes = [
        [when, size(part["bytes"]), part["nodes"] or "-"] for when, part in report["sizes"].items()
    ]
    files = [
        [tag("code", file["path"]), file["role"], size(file["bytes"]), tag("code", file["sha256"])]
        for file in report["files"]
    ]
    tables: list[Markup] = [table(("", "size", "nodes"), sizes)]
    if not report["ok"]:
        tables.append(
            tag("p", "What fails is not published, or kept under another name on demand.")
        )
    tables += [table(("file", "role", "size", "sha256"), files)] if files else []
    return section("Sizes and files", *tables)


def _about(report: Document) -> Markup:
    options = {key: _shown(each) for key, each in report.get("options", {}).items()}
    passes = [
        [
            run["name"],
            "yes" if run["modified"] else "-",
            f"{run['nodes_before']} -> {run['nodes_after']}",
            f"{run['seconds']:.3f}",
        ]
        for run in report.get("passes", ())
    ]
    seconds = {stage: f"{taken:.1f}" for stage, taken in report.get("seconds", {}).items()}
    return section(
        "How it was made",
        pairs(facts(report)),
        folded("Options", pairs(options.items())) if options else "",
        folded("Versions", pairs(report["versions"].items())),
        folded("Seconds", pairs(seconds.items())) if seconds else "",
        folded("Passes", table(("pass", "changed", "nodes", "seconds"), passes)) if passes else "",
    )


def _shown(given: Any) -> str:
    if given is None:
        return "-"
    return ", ".join(map(_shown, given)) if isinstance(given, list) else str(given)
