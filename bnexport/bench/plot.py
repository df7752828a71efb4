"""The drawing of a benchmark: how latencies are spread, and how throughput goes with the batch."""

from __future__ import annotations

import importlib.util
import io
from typing import TYPE_CHECKING, Any

from bnexport.errors import MissingRuntime
from bnexport.printable import printable

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["check_plots", "drawn"]

Document = dict[str, Any]

_WIDE, _HIGH = 6.0, 3.6  # inches of one chart
_LINEAR = 5.0  # the longest time over the shortest, up to which an even axis shows more
_STYLE: Any = {
    "svg.fonttype": "none",
    "svg.hashsalt": "bnexport",
    "font.family": "sans-serif",
    "text.parse_math": False,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.25,
}


def check_plots() -> None:
    """See that a drawing can be made.

    Raises:
        MissingRuntime: matplotlib is not installed.
    """
    if importlib.util.find_spec("matplotlib") is None:
        remedy = "Type `pip install bnexport[plots]`, or leave --plot out"
        raise MissingRuntime("a plot needs matplotlib", "it is not installed", remedy)


def drawn(document: Document) -> str:
    """An SVG: for each batch size the share of runs below a latency; where there are several, the sweep.

    Args:
        document: Of the form ``bnexport.bench/1``.

    Raises:
        MissingRuntime: matplotlib is not installed.
    """
    check_plots()
    import matplotlib as mpl
    from matplotlib.figure import Figure

    batches = list(dict.fromkeys(each["batch"] for each in document["results"]))
    charts = len(batches) + (len(batches) > 1)
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(_WIDE, _HIGH * charts), layout="constrained")
        every = figure.subplots(charts, 1, squeeze=False)[:, 0]
        for axes, batch in zip(every, batches, strict=False):
            _spread(axes, document, batch)
        if len(batches) > 1:
            _sweep(every[-1], document)
        stream = io.StringIO()
        figure.savefig(stream, format="svg", metadata={"Date": None})
    return stream.getvalue()


def _spread(axes: Axes, document: Document, batch: int) -> None:
    every: list[float] = []
    for result in document["results"]:
        if result["batch"] == batch:
            shares, times = zip(*result["quantiles_ms"], strict=True)
            axes.plot(times, shares, label=_label(document, result), linewidth=1.6)
            every += times
    axes.set_title(f"batch {batch}", loc="left", fontsize="medium")
    if max(every) > _LINEAR * min(every):
        _logarithmic(axes)
    axes.set_xlabel("latency, ms")
    axes.set_ylabel("% of runs below")
    axes.legend(frameon=False, fontsize="small")


def _logarithmic(axes: Axes) -> None:
    """With plain numbers at 1, 2 and 5 of each decade: matplotlib's own are formulas, which are off here."""
    from matplotlib.ticker import LogLocator, NullLocator

    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(lambda time, place: f"{time:g}")


def _sweep(axes: Axes, document: Document) -> None:
    for place, _ in enumerate(document["participants"]):
        own = [each for each in document["results"] if each["participant"] == place]
        batches = [each["batch"] for each in own]
        rates = [each["samples_per_second"] for each in own]
        axes.plot(batches, rates, marker="o", label=_label(document, own[0]), linewidth=1.6)
    axes.set_title("the sweep", loc="left", fontsize="medium")
    axes.set_xscale("log", base=2)
    axes.xaxis.set_major_formatter(lambda batch, place: f"{batch:g}")
    axes.set_xlabel("batch")
    axes.set_ylabel("samples a second")
    axes.set_ylim(bottom=0)
    axes.legend(frameon=False, fontsize="small")


def _label(document: Document, result: Document) -> str:
    who = document["participants"][result["participant"]]
    return printable(f"{who['model']}, {who['runtime']}")
