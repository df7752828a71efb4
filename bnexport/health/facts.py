"""What a model's BatchNorms and layers are, read off the module without running it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.instancenorm import _InstanceNorm
from torch.nn.parameter import is_lazy

__all__ = [
    "BatchNormFacts",
    "LayerFacts",
    "OtherNorm",
    "batch_norms",
    "is_batch_norm",
    "layers",
    "other_norms",
]

Range = tuple[float, float]


@dataclass(frozen=True)
class BatchNormFacts:
    """One BatchNorm-like layer.

    Attributes:
        name: Its qualified name; empty for the model itself.
        kind: Its class.
        channels: The number of channels; 0 where no tensor tells.
        eps: None where the layer does not say (the graph of an exported program).
        momentum: None: a cumulative average, or not said.
        affine: Whether it has a weight.
        training: Its training flag.
        tracked: ``num_batches_tracked``; None where it has no such buffer.
        mean_range: Least and greatest running mean; None without one.
        var_range: Least and greatest running variance; None without one.
        weight_range: Least and greatest weight; None without one.
        problems: Why it cannot be exported truthfully; empty for a healthy layer.
    """

    name: str
    kind: str
    channels: int
    eps: float | None
    momentum: float | None
    affine: bool
    training: bool
    tracked: int | None
    mean_range: Range | None
    var_range: Range | None
    weight_range: Range | None
    problems: tuple[str, ...] = ()


@dataclass(frozen=True)
class LayerFacts:
    """One layer that has parameters of its own or no layers below it."""

    name: str
    kind: str
    parameters: int


@dataclass(frozen=True)
class OtherNorm:
    """A normalisation that keeps no statistics of batches.

    Attributes:
        name: Its qualified name.
        kind: Its class.
        settings: As the layer tells them: groups, shape, eps.
    """

    name: str
    kind: str
    settings: str


def batch_norms(module: nn.Module) -> tuple[BatchNormFacts, ...]:
    """Every BatchNorm-like layer, a shared one once, in the order of registration.

    Known by torch's base class, or by having a running mean and variance (frozen, in-place,
    scripted and exported ones). InstanceNorms are none: they stay within the sample.
    """
    named = module.named_modules()
    return tuple(_facts(name, each) for name, each in named if is_batch_norm(each))


def is_batch_norm(layer: nn.Module) -> bool:
    """Whether the layer normalises by running statistics, or should."""
    if isinstance(layer, _BatchNorm):
        return True
    if isinstance(layer, _InstanceNorm) or kind_of(layer).startswith(("InstanceNorm", "LazyInst")):
        return False
    return hasattr(layer, "running_mean") and hasattr(layer, "running_var")


def layers(module: nn.Module) -> tuple[LayerFacts, ...]:
    """The layers at a glance, in the order of registration."""
    found = []
    for name, each in module.named_modules():
        own = sum(_size(parameter) for parameter in each.parameters(recurse=False))
        if own or not any(each.children()):
            found.append(LayerFacts(name, kind_of(each), own))
    return tuple(found)


def other_norms(module: nn.Module) -> tuple[OtherNorm, ...]:
    """Layers that normalise each sample by itself: torch's own and those called so."""
    return tuple(
        OtherNorm(name, kind_of(each), "" if any(each.children()) else each.extra_repr())
        for name, each in module.named_modules()
        if not is_batch_norm(each) and _normalises(each)
    )


def _normalises(layer: nn.Module) -> bool:
    kind = kind_of(layer)
    if isinstance(layer, nn.GroupNorm | nn.LayerNorm | nn.LocalResponseNorm | _InstanceNorm):
        return True
    return kind.endswith("Norm") or "LayerNorm" in kind or "GroupNorm" in kind


def kind_of(layer: nn.Module) -> str:
    """The class's name; for a scripted layer, of the class it was made from."""
    if type(layer) is nn.Module:  # what torch.export leaves of a layer: a holder of its tensors
        return "BatchNorm" if hasattr(layer, "running_mean") else "Module"
    if isinstance(layer, torch.jit.ScriptModule):
        return str(layer.original_name)
    return type(layer).__name__


def _facts(name: str, layer: nn.Module) -> BatchNormFacts:
    mean, var = _tensor(layer, "running_mean"), _tensor(layer, "running_var")
    weight, tracked = _tensor(layer, "weight"), _tensor(layer, "num_batches_tracked")
    given = (mean, var, weight, _tensor(layer, "bias"))
    known = next((each for each in given if each is not None), None)
    return BatchNormFacts(
        name=name,
        kind=kind_of(layer),
        channels=0 if known is None else _size(known),
        eps=_number(layer, "eps"),
        momentum=_number(layer, "momentum"),
        affine=weight is not None,
        training=layer.training,
        tracked=None if tracked is None or tracked.is_meta else int(tracked),
        mean_range=_range(mean),
        var_range=_range(var),
        weight_range=_range(weight),
        problems=_problems(layer, mean, var),
    )


def _problems(layer: nn.Module, mean: Tensor | None, var: Tensor | None) -> tuple[str, ...]:
    if mean is None or var is None:
        missing = " and ".join(
            name for name, each in (("mean", mean), ("variance", var)) if each is None
        )
        return (f"no running {missing}: it normalises by the batch in eval mode too",)
    problems = []
    for name, each in (("running_mean", mean), ("running_var", var)):
        if said := not_finite(each):
            problems.append(f"{name} holds {said}")
    if not _empty(var) and bool((var < 0).any()):
        place = int(var.argmin())
        problems.append(f"running_var is negative ({var.min():g} at channel {place})")
    return tuple(problems)


def not_finite(tensor: Tensor, *, infinite: bool = True) -> str:
    """``3 NaN and 1 Inf of 64 values``; empty where all are finite."""
    if _empty(tensor) or not (tensor.is_floating_point() or tensor.is_complex()):
        return ""
    # isfinite knows no 8-bit floats.
    values = tensor.detach() if tensor.is_complex() or tensor.itemsize > 1 else tensor.float()
    # A sum of finite numbers that is finite, one pass over the memory, rules both out; one that is not may overflow.
    if bool(values.sum().isfinite()) or bool(values.isfinite().all()):
        return ""
    nan, inf = int(values.isnan().sum()), int(values.isinf().sum()) if infinite else 0
    said = " and ".join(f"{count} {name}" for count, name in ((nan, "NaN"), (inf, "Inf")) if count)
    return f"{said} of {tensor.numel()} values" if said else ""


def _empty(tensor: Tensor) -> bool:
    return is_lazy(tensor) or tensor.is_meta or tensor.layout != torch.strided or not tensor.numel()


def _size(tensor: Tensor) -> int:
    return 0 if is_lazy(tensor) else tensor.numel()


def _range(tensor: Tensor | None) -> Range | None:
    if tensor is None or _empty(tensor):
        return None
    values = tensor.detach().float()
    return float(values.min()), float(values.max())


def _tensor(layer: nn.Module, name: str) -> Tensor | None:
    found = getattr(layer, name, None)
    return found if isinstance(found, Tensor) else None


def _number(layer: nn.Module, name: str) -> float | None:
    found = getattr(layer, name, None)
    return float(found) if isinstance(found, int | float) and math.isfinite(found) else None
