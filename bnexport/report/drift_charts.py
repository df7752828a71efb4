"""The charts of drift: the divergence along the network, and one layer's channels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from bnexport.report.charts import INK, drawn
from bnexport.report.markup import Markup

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["along", "channels"]

Document = dict[str, Any]

_BAD = "#cf222e"


def along(layers: Sequence[Document], threshold: float) -> Markup:
    """The divergence of each layer in the order of the calls, with its interval."""
    return drawn("along", lambda figure: _along(figure, layers, threshold))


def channels(layer: Document) -> Markup:
    """Observed against running mean and deviation of each channel; on the line nothing drifted."""
    return drawn("channels", lambda figure: _channels(figure, layer))


def _along(figure: Figure, layers: Sequence[Document], threshold: float) -> None:
    axes = figure.subplots()
    places = range(len(layers))
    values = [layer["divergence"] for layer in layers]
    below = [layer["divergence"] - layer["interval"][0] for layer in layers]
    above = [layer["interval"][1] - layer["divergence"] for layer in layers]
    axes.errorbar(places, values, yerr=[below, above], fmt="o", markersize=4, elinewidth=1)
    bad = [place for place in places if layers[place]["drifted"]]
    axes.plot(bad, [values[place] for place in bad], "o", markersize=5, color=_BAD, zorder=3)
    axes.axhline(threshold, color=INK, linestyle="--", linewidth=1)
    # Linear near zero, where healthy layers lie; logarithmic where drift may be any size.
    axes.set_yscale("symlog", linthresh=max(threshold, 1e-3))
    axes.set_ylim(bottom=0)
    axes.yaxis.set_major_formatter(lambda power, place: f"{power:g}")
    axes.set_xlabel("BatchNorm, in the order of the calls")
    axes.set_ylabel("divergence, nats")


def _channels(figure: Figure, layer: Document) -> None:
    means, deviations = figure.subplots(1, 2)
    observed = [max(var, 0.0) ** 0.5 for var in layer["observed_var"]]
    running = [max(var, 0.0) ** 0.5 for var in layer["running_var"]]
    errors = [
        error * (var**0.5 if var > 0 else 0.0)
        for error, var in zip(layer["shift_error"], layer["running_var"], strict=True)
    ]
    means.errorbar(
        layer["running_mean"],
        layer["observed_mean"],
        yerr=errors,
        fmt="o",
        markersize=3,
        elinewidth=0.8,
    )
    deviations.plot(running, observed, "o", markersize=3)
    _line(means, [*layer["running_mean"], *layer["observed_mean"]], "mean")
    _line(deviations, [*running, *observed], "deviation")


def _line(axes: Axes, values: Sequence[float], what: str) -> None:
    axes.axline((min(values), min(values)), slope=1, color=INK, linestyle="--", linewidth=1)
    axes.set_xlabel(f"running {what}")
    axes.set_ylabel(f"observed {what}")
