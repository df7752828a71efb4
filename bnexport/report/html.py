"""The report as one HTML page that needs nothing else: no script, no font, no network."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Any

from bnexport.report.charts import curve, spread
from bnexport.report.html_style import STYLE
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

POLICY = "default-src 'none'; style-src 'unsafe-inline'"
FATES = ("kept", "reduced", "merged", "absorbed", "unused")
OPEN = ("kept", "reduced")
# As in `parity.measure`, which cannot be imported without NumPy.
DECADES = (-6.0, 2.0)


def page(report: Document) -> str:
    """The whole page."""
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("meta", **{"http-equiv": "Content-Security-Policy", "content": POLICY}),
        tag("title", f"{'passed' if report['ok'] else 'FAILED'}: {subject(report)}"),
        tag("style", Markup(STYLE)),
    )
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
    return "<!DOCTYPE html>\n" + tag("html", head, tag("body", tag("main", *parts)), lang="en")


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
        return _section("Agreement", tag("p", "Nothing was compared: no runtime gave an output."))
    headers = ("runtime", "precision", "batch", "error", "limit", "of the limit", "independent", "")
    table = _table(headers, [_run(run) for run in made])
    return _section("Agreement", tag("p", _sentence(held_against(parity))), table)


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
    return _section("What failed", *found, *_curve(parity), tag("ul", *map(_failure, failed)))


def _curve(parity: Document) -> list[Markup]:
    origin = parity.get("origin") or {}
    drawn = curve(origin.get("curve", ()), origin.get("layer", "") or origin.get("value", ""))
    return [] if drawn is None else [drawn]


def _spread(checks: Sequence[Check]) -> Markup:
    drawn = spread(checks, DECADES)
    return join() if drawn is None else _section("How the errors are spread", drawn)


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
    return _section("Skipped", tag("ul", *items))


def _ledger(rows: Sequence[Document]) -> Markup:
    if not rows:
        return join()
    by_fate = {fate: [row for row in rows if row["fate"] == fate] for fate in FATES}
    return _section(f"BatchNorm: {len(rows)}", *(_fate(f, r) for f, r in by_fate.items() if r))


def _fate(fate: str, rows: Sequence[Document]) -> Markup:
    cells = [
        [tag("code", r["name"]), r["kind"], r["channels"] or "?", r["into"], r["reason"]]
        for r in rows
    ]
    table = _table(("name", "kind", "channels", "into", "reason"), cells)
    return tag("details", tag("summary", f"{len(rows)} {fate}"), table, open=fate in OPEN)


def _precision(report: Document) -> Markup:
    told = precision(report)
    if not told:
        return join()
    rows = [[tag("code", name), operator, reason] for name, operator, reason in singles(report)]
    listed = _folded(
        f"{len(rows)} in float32", _table(("layer or value", "operator", "reason"), rows)
    )
    return _section("Precision", tag("p", _sentence(told)), listed if rows else "")


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
    tables: list[Markup] = [_table(("", "size", "nodes"), sizes)]
    if not report["ok"]:
        tables.append(
            tag("p", "What fails is not published, or kept under another name on demand.")
        )
    tables += [_table(("file", "role", "size", "sha256"), files)] if files else []
    return _section("Sizes and files", *tables)


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
    return _section(
        "How it was made",
        _pairs(facts(report)),
        _folded("Options", _pairs(options.items())) if options else "",
        _folded("Versions", _pairs(report["versions"].items())),
        _folded("Seconds", _pairs(seconds.items())) if seconds else "",
        _folded("Passes", _table(("pass", "changed", "nodes", "seconds"), passes))
        if passes
        else "",
    )


def _shown(given: Any) -> str:
    if given is None:
        return "-"
    return ", ".join(map(_shown, given)) if isinstance(given, list) else str(given)


def _section(title: str, *body: object) -> Markup:
    return tag("section", tag("h2", title), *body)


def _folded(title: str, *body: object) -> Markup:
    return tag("details", tag("summary", title), *body)


def _pairs(pairs: Iterable[tuple[str, str]]) -> Markup:
    grouped = groupby(pairs, key=lambda pair: pair[0])
    return tag(
        "dl", *(join(tag("dt", name), *(tag("dd", v) for _, v in same)) for name, same in grouped)
    )


def _table(headers: Sequence[str], rows: Iterable[Sequence[object]]) -> Markup:
    head = tag("tr", *(tag("th", header, scope="col") for header in headers))
    body = (tag("tr", *(tag("td", cell) for cell in row)) for row in rows)
    table = tag("table", tag("thead", head), tag("tbody", *body))
    return tag("div", table, class_="wide")


def _sentence(words: str) -> str:
    return f"{words[:1].upper()}{words[1:]}."
