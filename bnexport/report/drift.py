"""What was found of drift, as JSON."""

from __future__ import annotations

import math
from typing import Any

from bnexport.drift.judge import Drift, LayerDrift
from bnexport.report.document import versions

__all__ = ["SCHEMA", "document_of"]

SCHEMA = "bnexport.drift/1"


def document_of(found: Drift, about: dict[str, Any]) -> dict[str, Any]:
    """The document.

    Args:
        found: The judgement.
        about: What it was made of: ``model``, ``data``, ``notes``, ``state``.
    """
    starts = found.starts
    return {
        "schema": SCHEMA,
        **about,
        "drifted": found.drifted,
        "starts": None if starts is None else starts.name,
        "samples": found.samples,
        "batches": {str(size): count for size, count in sorted(found.batches.items())},
        "alpha": found.alpha,
        "threshold": found.threshold,
        "layers": [_layer(each) for each in found.layers],
        "versions": versions(),
    }


def _layer(layer: LayerDrift) -> dict[str, Any]:
    place = layer.worst
    observed_mean, observed_var = layer.observed
    running_mean, running_var = layer.running
    return {
        "name": layer.name,
        "channels": layer.channels,
        "effective_samples": layer.samples,
        "divergence": layer.divergence,
        "interval": list(layer.interval),
        "p": layer.p,
        "drifted": layer.drifted,
        "dropped": layer.dropped,
        "worst": {
            "channel": place,
            "divergence": float(layer.by_channel[place]),
            "shift": float(layer.shift[place]),
            "variance_ratio": math.exp(float(layer.log_ratio[place])),
        },
        "shift": layer.shift.tolist(),
        "shift_error": layer.shift_error.tolist(),
        "log_ratio": layer.log_ratio.tolist(),
        "log_ratio_error": layer.log_ratio_error.tolist(),
        "observed_mean": observed_mean.tolist(),
        "observed_var": observed_var.tolist(),
        "running_mean": running_mean.tolist(),
        "running_var": running_var.tolist(),
    }
