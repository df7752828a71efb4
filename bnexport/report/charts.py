"""The charts of a page: how the errors are spread, where along the graph they begin, what the statistics are.

Drawn by matplotlib as SVG that stands in the page itself: no image, no font, no script. Lines take their ink from the
page, so that they can be read in the light and in the dark.
"""

from __future__ import annotations

import io
import math
import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from bnexport.printable import printable
from bnexport.report.markup import Markup, tag
from bnexport.report.runs import Check, value

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["INK", "curve", "drawn", "ranges", "spread"]

Document = dict[str, Any]

# Stands for the page's ink until the drawing is in the page.
INK = "#010203"
_WIDE, _HIGH = 9.0, 2.8  # inches
_LONGEST = 36  # of a label
_STYLE: Any = {
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "text.parse_math": False,
    **dict.fromkeys(("axes.edgecolor", "axes.labelcolor", "text.color"), INK),
    **dict.fromkeys(("xtick.color", "ytick.color", "grid.color"), INK),
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.15,
}
_MISSING = "Charts need matplotlib: pip install bnexport[plots]"


def spread(checks: Sequence[Check], decades: tuple[float, float]) -> Markup | None:
    """How many elements of all outputs err by what share of their limit, a line a runtime; None: not recorded.

    Args:
        checks: Of the report; those with a ``histogram`` count.
        decades: The powers of ten at which the recorded histograms begin and end.
    """
    counts: dict[str, list[int]] = {}
    for check in checks:
        found = check.get("histogram") or []
        known = counts.get(check["runtime"], [0] * len(found))
        if found and len(known) == len(found):
            counts[check["runtime"]] = [a + b for a, b in zip(known, found, strict=True)]
    if not counts:
        return None
    return drawn("spread", lambda figure: _steps(figure, counts, decades))


def curve(points: Sequence[Document], culprit: str) -> Markup | None:
    """The error of the values that the search looked at, in the order of the graph; None: too few.

    Args:
        points: ``value``, ``layer``, ``place`` and ``ratio`` (the error over its limit) of each.
        culprit: What to call the first wrong one.
    """
    if len(points) < 2:
        return None
    return drawn("curve", lambda figure: _line(figure, points, culprit))


def ranges(norms: Sequence[Document]) -> Markup | None:
    """From the least to the greatest running variance, mean and gamma of each BatchNorm, in order; None: too few."""
    told = [norm for norm in norms if norm["var_range"]]
    return drawn("ranges", lambda figure: _spans(figure, told)) if len(told) > 1 else None


def _spans(figure: Figure, norms: Sequence[Document]) -> None:
    figure.set_size_inches(_WIDE, 2 * _HIGH)
    titles = {
        "var_range": "running variance",
        "mean_range": "running mean",
        "weight_range": "gamma",
    }
    for axes, (name, title) in zip(figure.subplots(3, sharex=True), titles.items(), strict=True):
        spans = [
            (place, value(norm[name][0]), value(norm[name][1]))
            for place, norm in enumerate(norms)
            if norm[name] and all(map(math.isfinite, map(value, norm[name])))
        ]
        places, low, high = zip(*spans, strict=True) if spans else ((), (), ())
        axes.vlines(places, low, high, linewidth=2.2)
        if name == "var_range" and all(end > 0 for end in low):
            axes.set_yscale("log")
            axes.yaxis.set_major_formatter(lambda power, place: f"{power:.0e}")
        axes.set_ylabel(title)
    axes.set_xlabel("BatchNorm, in the order of registration")


def _steps(figure: Figure, counts: dict[str, list[int]], decades: tuple[float, float]) -> None:
    axes = figure.subplots()
    low, high = decades
    for runtime, found in counts.items():
        step = (high - low) / (len(found) - 2)
        edges = [low - step + step * place for place in range(len(found) + 1)]
        shares = [100 * count / (sum(found) or 1) for count in found]
        axes.stairs(shares, edges, label=printable(runtime), linewidth=1.6)
    axes.axvline(0.0, color=INK, linestyle="--", linewidth=1)
    axes.set_xlabel("|error| over its limit, power of ten (left of the first: less, or none)")
    axes.set_ylabel("% of elements")
    axes.legend(frameon=False, fontsize="small")


def _line(figure: Figure, points: Sequence[Document], culprit: str) -> None:
    axes = figure.subplots()
    ordered = sorted(points, key=lambda point: point["place"])
    ratios = [min(max(value(each["ratio"]), 1e-6), 1e12) for each in ordered]
    axes.semilogy([each["place"] for each in ordered], ratios, marker="o", linewidth=1.2)
    axes.axhline(1.0, color=INK, linestyle="--", linewidth=1)
    axes.set_xlabel("place in the graph, of the values that were looked at")
    axes.set_ylabel("error over its limit")
    axes.yaxis.set_major_formatter(lambda power, place: f"{power:.0e}")
    first = next((n for n, share in enumerate(ratios) if share > 1), None)
    if first is not None:
        name = printable(culprit)[-_LONGEST:]
        spot = ordered[first]["place"], ratios[first]
        axes.annotate(name, spot, xytext=(8, -30), textcoords="offset points")


def drawn(name: str, draw: Callable[[Figure], None]) -> Markup:
    """What ``draw`` puts on a figure, as an element of the page; a sentence instead where matplotlib is not there."""
    try:
        import matplotlib as mpl
        from matplotlib.figure import Figure
    except ImportError:
        return tag("p", tag("small", _MISSING))
    with mpl.rc_context({**_STYLE, "svg.hashsalt": name}):
        figure = Figure(figsize=(_WIDE, _HIGH), layout="constrained", facecolor="none")
        draw(figure)
        for axes in figure.axes:
            axes.set_facecolor("none")
        stream = io.StringIO()
        figure.savefig(stream, format="svg", metadata={"Date": None})
    return tag("figure", Markup(_within_a_page(stream.getvalue())))


def _within_a_page(svg: str) -> str:
    """The element alone, without the names of schemas, in the ink of the page and as wide as it."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'\sxmlns(:\w+)?="[^"]*"', "", svg)
    svg = re.sub(r'(<svg[^>]*?)\swidth="[^"]*"', r"\1", svg, count=1)
    svg = re.sub(r'(<svg[^>]*?)\sheight="[^"]*"', r"\1", svg, count=1)
    return re.sub(r"\n\s*", "\n", svg.replace(INK, "currentColor"))
