"""The running statistics among a rank's tensors: found by their names, and held to what they must be."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor

from bnexport.errors import Refused

__all__ = ["check_statistics", "layers_of", "named", "stacked", "tracked"]

_MEAN, _VARIANCE, _COUNTER = "running_mean", "running_var", "num_batches_tracked"

Tensors = Mapping[str, Tensor]


def named(layer: str) -> tuple[str, str, str]:
    """The names of a layer's mean, variance and counter; ``layer`` is empty for the model itself."""
    prefix = f"{layer}." if layer else ""
    return prefix + _MEAN, prefix + _VARIANCE, prefix + _COUNTER


def layers_of(tensors: Tensors) -> tuple[str, ...]:
    """The BatchNorms: names with a running mean and a running variance, in the order of the file."""
    means = [name for name in tensors if name == _MEAN or name.endswith(f".{_MEAN}")]
    found = [name.removesuffix(_MEAN).removesuffix(".") for name in means]
    return tuple(layer for layer in found if named(layer)[1] in tensors)


def stacked(ranks: list[Tensors], layer: str) -> tuple[Tensor, Tensor]:
    """The means and the variances of all ranks, each float64 of shape (R, C)."""
    mean, variance, _ = named(layer)
    means, variances = (
        torch.stack([tensors[key].double().flatten() for tensors in ranks])
        for key in (mean, variance)
    )
    return means, variances


def tracked(ranks: list[Tensors], layer: str) -> tuple[int, ...] | None:
    """``num_batches_tracked`` of each rank; None where there is none."""
    key = named(layer)[2]
    return tuple(int(tensors[key]) for tensors in ranks) if key in ranks[0] else None


def check_statistics(name: str, tensors: Tensors) -> None:
    """Raise where statistics have not the form of statistics.

    Args:
        name: The rank's.
        tensors: Its tensors.

    Raises:
        Refused: They are not of one shape, hold no real numbers, or no count.
    """
    for layer in layers_of(tensors):
        for problem in _problems(layer, tensors):
            raise Refused(name, problem, "Save the state dict of a model with BatchNorms")


def _problems(layer: str, tensors: Tensors) -> Iterator[str]:
    mean, variance, counter = named(layer)
    shapes = [tuple(tensors[key].shape) for key in (mean, variance)]
    if shapes[0] != shapes[1] or not shapes[0] or 0 in shapes[0]:
        yield f"{mean} is of shape {shapes[0]}, and {variance} of {shapes[1]}"
    for key in (mean, variance):
        if not tensors[key].is_floating_point():
            yield f"{key} is of {tensors[key].dtype}, which is no floating type"
    if counter in tensors and not _counts(tensors[counter]):
        yield f"{counter} is not one number of batches"


def _counts(value: Tensor) -> bool:
    real = value.numel() == 1 and not value.is_complex()
    return real and bool(value.isfinite().all()) and bool((value >= 0).all())
