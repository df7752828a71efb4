"""What recalibration gives: new statistics, layer by layer, beside the old ones."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from bnexport.errors import UsageError

__all__ = ["STATISTICS", "LayerChange", "Recalibration", "put"]

STATISTICS = ("running_mean", "running_var", "num_batches_tracked")


@dataclass(frozen=True)
class LayerChange:
    """One BatchNorm.

    Attributes:
        name: Its qualified name.
        before: Its mean and variance as they were, float64 of shape (C,).
        after: The mean of the data, and its unbiased variance, float64 of shape (C,).
        values: How many values a channel these are of.
        eps: Of the layer.
    """

    name: str
    before: tuple[Tensor, Tensor]
    after: tuple[Tensor, Tensor]
    values: int
    eps: float

    @property
    def shift(self) -> Tensor:
        """How far each mean moved, in new deviations."""
        return (self.after[0] - self.before[0]) / (self.after[1] + self.eps).sqrt()

    @property
    def ratio(self) -> Tensor:
        """The new variance over the old one, eps added to both."""
        return (self.after[1] + self.eps) / (self.before[1] + self.eps)

    @property
    def moved(self) -> float:
        """How far it moved: |shift| + |ln ratio| / 2, the mean over its channels; infinite where it was broken."""
        moved = self.shift.abs() + self.ratio.log().abs() / 2
        return float(moved.nan_to_num(math.inf, math.inf).mean())


@dataclass(frozen=True)
class Recalibration:
    """What was estimated.

    Attributes:
        layers: In the order of the calls.
        samples: Of the data.
        batches: Of the data.
        passes: How often the data was run.
        sequential: Whether each layer was estimated behind the new statistics of those before it.
        notes: What to know.
        metric: Before and after, where one was asked for.
        output: Where the model was written; empty: nowhere.
    """

    layers: tuple[LayerChange, ...]
    samples: int
    batches: int
    passes: int
    sequential: bool
    notes: tuple[str, ...] = ()
    metric: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    output: str = ""

    def apply(self, module: nn.Module) -> None:
        """Put the statistics into the BatchNorms of ``module``; nothing else of it changes.

        Raises:
            UsageError: It has no such layers.
        """
        for change in self.layers:
            try:
                layer = module.get_submodule(change.name)
                shape = layer.running_mean.shape
            except AttributeError:
                why = f"it has no BatchNorm {change.name!r}"
                raise UsageError(type(module).__name__, why, "Give the same model") from None
            if shape.numel() != change.after[0].numel():  # type: ignore[operator]
                why = f"{change.name!r} has another number of channels"
                raise UsageError(type(module).__name__, why, "Give the same model")
        for change in self.layers:
            put(module.get_submodule(change.name), *change.after, self.batches)

    def to_json(self) -> dict[str, Any]:
        """As one document."""
        return {
            "schema": "bnexport.recalibration/1",
            "output": self.output,
            "samples": self.samples,
            "batches": self.batches,
            "passes": self.passes,
            "sequential": self.sequential,
            "notes": list(self.notes),
            "metric": {
                name: {"before": old, "after": new} for name, (old, new) in self.metric.items()
            },
            "layers": [_layer(each) for each in self.layers],
        }


def put(layer: nn.Module, mean: Tensor, var: Tensor, batches: int) -> None:
    """Write statistics into a layer's own buffers, rounded once to their dtypes."""
    with torch.no_grad():
        for name, value in zip(STATISTICS, (mean, var, torch.tensor(batches)), strict=True):
            buffer = getattr(layer, name, None)
            if isinstance(buffer, Tensor):
                buffer.copy_(value.reshape(buffer.shape))


def _layer(change: LayerChange) -> dict[str, Any]:
    return {
        "name": change.name,
        "channels": len(change.after[0]),
        "values": change.values,
        "moved": change.moved,
        "mean_before": change.before[0].tolist(),
        "mean_after": change.after[0].tolist(),
        "var_before": change.before[1].tolist(),
        "var_after": change.after[1].tolist(),
    }
