"""One BatchNorm as the rules see it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from bnexport.health.facts import is_batch_norm, kind_of
from bnexport.health.wiring import Place

__all__ = ["Norm", "norms_of"]


@dataclass(frozen=True)
class Norm:
    """A layer and where it stands.

    Attributes:
        names: All its qualified names: more than one where it is registered in several places.
        layer: The layer.
        place: Where it stands; None where no forward pass reached it, or none was made.
    """

    names: tuple[str, ...]
    layer: nn.Module
    place: Place | None = None

    @property
    def name(self) -> str:
        """The first of its names."""
        return self.names[0]

    @property
    def kind(self) -> str:
        """Its class."""
        return kind_of(self.layer)

    @cached_property
    def mean(self) -> Tensor | None:
        """The running mean in float64; None where there is none with values."""
        return _values(self.layer, "running_mean")

    @cached_property
    def var(self) -> Tensor | None:
        """The running variance in float64."""
        return _values(self.layer, "running_var")

    @cached_property
    def weight(self) -> Tensor | None:
        """Gamma in float64; None without one."""
        return _values(self.layer, "weight")

    @cached_property
    def bias(self) -> Tensor | None:
        """Beta in float64."""
        return _values(self.layer, "bias")

    @cached_property
    def tracked(self) -> int | None:
        """``num_batches_tracked``."""
        found = _values(self.layer, "num_batches_tracked")
        return None if found is None else int(found)

    @property
    def eps(self) -> float | None:
        """None where the layer does not say."""
        found = getattr(self.layer, "eps", None)
        return float(found) if isinstance(found, int | float) else None

    @cached_property
    def scale(self) -> Tensor | None:
        """By which it multiplies, gamma / sqrt(var + eps); None where that cannot be told."""
        if self.var is None:
            return None
        root = (self.var + (self.eps or 0.0)).clamp_min(torch.finfo(torch.float64).tiny).sqrt()
        return (torch.ones_like(root) if self.weight is None else self.weight) / root


def norms_of(module: nn.Module, places: dict[str, Place]) -> list[Norm]:
    """Every BatchNorm once, with all its names, in the order of the registration."""
    names: dict[nn.Module, list[str]] = {}
    for name, layer in module.named_modules(remove_duplicate=False):
        if is_batch_norm(layer):
            names.setdefault(layer, []).append(name)
    return [
        Norm(tuple(every), layer, next((places[name] for name in every if name in places), None))
        for layer, every in names.items()
    ]


def _values(layer: nn.Module, name: str) -> Tensor | None:
    found = getattr(layer, name, None)
    if not isinstance(found, Tensor) or is_lazy(found) or found.is_meta or not found.numel():
        return None
    return found.detach().double().cpu().flatten()
