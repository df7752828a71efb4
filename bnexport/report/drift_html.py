"""What was found of drift, as one HTML page: each layer's running statistics against what it saw."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bnexport.report.drift_charts import along, channels
from bnexport.report.html_parts import document, folded, pairs, section, table
from bnexport.report.markup import Markup, join, tag

__all__ = ["page"]

Document = dict[str, Any]

_DRAWN = 12
_HEADS = (
    *("layer", "channels", "effective samples", "divergence, nats", "95 %", "p"),
    *("worst channel", "its shift, deviations", "its variance, times", ""),
)


def page(found: Document) -> str:
    """The whole page."""
    layers = found["layers"]
    drifted = [layer for layer in layers if layer["drifted"]]
    said = f"no drift in {len(layers)} layers"
    if drifted:
        said = f"{len(drifted)} of {len(layers)} layers drifted; it starts in {found['starts'] or 'the model'}"
    word = tag("strong", "DRIFT" if drifted else "NO DRIFT", class_="bad" if drifted else "good")
    name = found["model"] or found["state"] or "drift"
    worst = sorted(layers, key=lambda layer: -layer["divergence"])[:_DRAWN]
    return document(
        f"{said}: {name}",
        tag("header", tag("h1", name), tag("p", word, f" {said}", class_="verdict")),
        _overview(found),
        section(
            f"BatchNorm: {len(layers)}", folded("Every layer", table(_HEADS, map(_row, layers)))
        ),
        *map(_layer, worst),
        _about(found),
    )


def _overview(found: Document) -> Markup:
    told = (
        f"Symmetric KL divergence of what each BatchNorm saw from its running statistics, with the 95 % interval. The "
        f"line is the threshold of {found['threshold']:g} nats. p holds for all layers at once: it is below "
        f"{found['alpha']:g} in one healthy run of {1 / found['alpha']:.0f}."
    )
    return section("Along the network", tag("p", told), along(found["layers"], found["threshold"]))


def _row(layer: Document) -> list[object]:
    low, high = layer["interval"]
    worst = layer["worst"]
    return [
        tag("code", layer["name"] or "the model"),
        layer["channels"],
        f"{layer['effective_samples']:.0f}",
        f"{layer['divergence']:.3g}",
        f"{low:.3g} to {high:.3g}",
        f"{layer['p']:.2g}",
        worst["channel"],
        f"{worst['shift']:+.2f}",
        f"{worst['variance_ratio']:.3g}",
        tag("span", "DRIFT", class_="bad") if layer["drifted"] else "",
    ]


def _layer(layer: Document) -> Markup:
    title = f"{layer['name'] or 'the model'}: {layer['divergence']:.3g} nats"
    return section(title, channels(layer))


def _about(found: Document) -> Markup:
    told: list[tuple[str, str]] = [
        (name, str(found[name])) for name in ("model", "data", "state") if found[name]
    ]
    told += [("note", note) for note in found["notes"]]
    told.append(("samples", f"{found['samples']:,}"))
    told.append(("batches", _batches(found["batches"].items())))
    if dropped := sum(layer["dropped"] for layer in found["layers"]):
        told.append(("left out", f"{dropped} samples of a layer, for NaN or Inf"))
    versions = folded("Versions", pairs(found["versions"].items()))
    return section("How it was measured", pairs(told), versions)


def _batches(sizes: Sequence[tuple[str, int]] | Any) -> Markup:
    return join(", ".join(f"{count} of {size}" for size, count in sizes))
