"""What the numbers of one BatchNorm say: its statistics, gamma, beta, eps and momentum."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from bnexport.health.facts import not_finite
from bnexport.health.findings.catalogue import RULES
from bnexport.health.findings.finding import Finding
from bnexport.health.findings.norm import Norm

__all__ = ["EVERY"]

HALF_MOST = 65504.0
# Half of float16's least subnormal number 2^-24: what is below rounds to zero.
HALF_LEAST = 2.0**-25
NORMAL_LEAST = float(torch.finfo(torch.float32).tiny)
# Below this share of the layer's largest gamma a channel does nothing that float32 would show beside the others.
DEAD = 2.0**-24
# A mean of so many deviations costs four of float32's seven digits, and all of float16's three.
FAR = 1e4
KERAS = 0.5


def no_statistics(norm: Norm) -> Iterator[Finding]:
    """Without a running mean or variance it takes the batch's."""
    layer = norm.layer
    missing = [
        name for name in ("running_mean", "running_var") if getattr(layer, name, None) is None
    ]
    if missing:
        yield RULES["BNX104"].at(norm.name, f"{norm.kind} has no {' and no '.join(missing)}")


def never_updated(norm: Norm) -> Iterator[Finding]:
    """Mean 0 and variance 1 in each channel is what a constructor leaves; data does not."""
    if norm.mean is None or norm.var is None:
        return
    fresh = bool((norm.mean == 0).all() and (norm.var == 1).all())
    zeros = bool((norm.mean == 0).all() and (norm.var == 0).all())
    counted = "" if norm.tracked is None else f", num_batches_tracked {norm.tracked}"
    if fresh or zeros:
        what = f"running_mean is 0 and running_var is {0 if zeros else 1} in all {len(norm.mean)} channels{counted}"
        yield RULES["BNX105"].at(norm.name, what)
    elif norm.tracked == 0:
        yield RULES["BNX106"].at(
            norm.name, "num_batches_tracked is 0, and the statistics are not new"
        )


def not_a_number(norm: Norm) -> Iterator[Finding]:
    """NaN and Inf in any of its tensors."""
    for name in ("running_mean", "running_var", "weight", "bias"):
        found = getattr(norm.layer, name, None)
        if isinstance(found, Tensor) and (said := not_finite(found)):
            yield RULES["BNX107"].at(norm.name, f"{name} holds {said}")


def negative_variance(norm: Norm) -> Iterator[Finding]:
    """No set of real numbers has one."""
    if norm.var is not None and bool((bad := norm.var < 0).any()):
        place = int(norm.var.nan_to_num(nan=0.0).argmin())
        least = float(norm.var[place])
        what = f"running_var is negative in {int(bad.sum())} of {len(bad)} channels, {least:.3g} at channel {place}"
        yield RULES["BNX108"].at(norm.name, what)


def vanishing_variance(norm: Norm) -> Iterator[Finding]:
    """Zero, or so small that float32 holds it as a denormal number, which many runtimes flush to zero."""
    if norm.var is None or norm.scale is None or bool((norm.var == 0).all()):
        return
    small = (norm.var >= 0) & (norm.var < NORMAL_LEAST)
    if bool(small.any()):
        count, place = int(small.sum()), int(small.nonzero()[0])
        largest = float(norm.scale[small].abs().max())
        what = (
            f"running_var is below {NORMAL_LEAST:.2g} in {count} of {len(small)} channels (the first: {place}); "
            f"inputs there are multiplied by up to {largest:.3g}"
        )
        harmless = largest < 1
        yield RULES["BNX109"].at(norm.name, what, severity="note" if harmless else "")


def dead_channels(norm: Norm) -> Iterator[Finding]:
    """Gamma that is zero, or nothing beside the others."""
    if norm.weight is None or bool(norm.weight.isnan().any()):
        return
    size = norm.weight.abs()
    dead = size <= DEAD * size.max()
    if bool(dead.any()):
        every = bool(dead.all())
        what = f"gamma is zero beside the others in {int(dead.sum())} of {len(dead)} channels"
        if every:
            what = f"gamma is 0 in all {len(dead)} channels: the layer puts out a constant"
        yield RULES["BNX110"].at(norm.name, what, severity="warning" if every else "")


def exploding_scale(norm: Norm) -> Iterator[Finding]:
    """The scale s = gamma / sqrt(var + eps), s W and beta - s mean, against float16's 65504."""
    scale, mean = norm.scale, norm.mean
    if scale is None or mean is None or not _sound(norm) or not bool(scale.isfinite().all()):
        return
    weights = _largest_weights(norm, len(scale))
    shift = (0 if norm.bias is None else norm.bias) - scale * mean
    # Where it is known what it folds into, the product counts: a large scale may make up for small weights.
    product = {"the scale gamma / sqrt(var + eps)": scale.abs()}
    if weights is not None:
        product = {"the folded weight": scale.abs() * weights}
    sizes = {**product, "the shift beta - scale mean": shift.abs()}
    for name, size in sizes.items():
        if bool((size > HALF_MOST).any()):
            yield RULES["BNX111"].at(norm.name, _largest(name, size))
            return
    if bool((scale.abs() > HALF_MOST).any()):
        what = f"{_largest('the scale', scale.abs())}; small weights make up for it once folded"
        yield RULES["BNX111"].at(norm.name, what, severity="note")


def _largest(name: str, size: Tensor) -> str:
    place = int(size.argmax())
    return f"{name} is {float(size[place]):.3g} at channel {place}"


def vanishing_eps(norm: Norm) -> Iterator[Finding]:
    """Eps that float16 rounds to zero; 0 itself is wrong in float32 too where a variance is 0."""
    if norm.eps is None or norm.eps >= HALF_LEAST:
        return
    divides = norm.eps == 0 and norm.var is not None and bool((norm.var == 0).any())
    what = f"eps is {norm.eps:g}" + (
        ", and running_var is 0 in some channel: Inf" if divides else ""
    )
    yield RULES["BNX112"].at(norm.name, what, severity="error" if divides else "")


def precision(norm: Norm) -> Iterator[Finding]:
    """Float16 or bfloat16, and float64."""
    for name in ("running_var", "running_mean", "weight"):
        found = getattr(norm.layer, name, None)
        if isinstance(found, Tensor) and found.is_floating_point():
            dtype = str(found.dtype).removeprefix("torch.")
            if found.dtype in (torch.float16, torch.bfloat16):
                yield RULES["BNX113"].at(norm.name, f"{name} is {dtype}")
                return
            if found.dtype == torch.float64:
                yield RULES["BNX122"].at(norm.name, f"{name} is {dtype}")
                return


def momentum(norm: Norm) -> Iterator[Finding]:
    """What the running average is: none, the last batch, or all batches alike."""
    if not hasattr(norm.layer, "momentum") or norm.mean is None:
        return
    given = norm.layer.momentum
    rule = RULES["BNX114"]
    if given is None:
        what = "momentum is None: a cumulative average, which early batches weigh down in training"
        yield rule.at(norm.name, what, severity="note")
    elif not isinstance(given, int | float):
        return
    elif given == 0:
        yield rule.at(norm.name, "momentum is 0: the statistics are never updated")
    elif not 0 < given <= 1:
        yield rule.at(norm.name, f"momentum is {given:g}, outside 0 to 1")
    elif given == 1:
        yield rule.at(norm.name, "momentum is 1: the statistics are those of the last batch alone")
    elif given > KERAS:
        yield rule.at(
            norm.name, f"momentum is {given:g}: the last two batches make most of the statistics"
        )


def far_mean(norm: Norm) -> Iterator[Finding]:
    """|mean| / sqrt(var + eps): the factor by which a rounded input is off more than the output's scale."""
    if norm.mean is None or norm.var is None or not _sound(norm):
        return
    apart = norm.mean.abs() / (norm.var + (norm.eps or 0.0)).clamp_min(NORMAL_LEAST).sqrt()
    if bool((apart > FAR).any()):
        place = int(apart.argmax())
        yield RULES["BNX123"].at(
            norm.name,
            f"the mean is {float(apart[place]):.3g} deviations from zero at channel {place}",
        )


def _sound(norm: Norm) -> bool:
    """Whether the statistics are such as data can have; else what follows from them says nothing more."""
    if norm.mean is None or norm.var is None:
        return False
    return bool(norm.mean.isfinite().all() and norm.var.isfinite().all() and (norm.var >= 0).all())


def _largest_weights(norm: Norm, channels: int) -> Tensor | None:
    """Of the layer before it, the largest weight of each channel; None where that is not one linear layer."""
    steps = norm.place.follows if norm.place else ()
    weight = getattr(steps[0].layer, "weight", None) if len(steps) == 1 else None
    if not isinstance(weight, Tensor) or weight.dim() < 2 or len(weight) != channels:
        return None
    return weight.detach().double().cpu().abs().flatten(1).amax(1)


EVERY = (
    no_statistics,
    never_updated,
    not_a_number,
    negative_variance,
    vanishing_variance,
    dead_channels,
    exploding_scale,
    vanishing_eps,
    precision,
    momentum,
    far_mean,
)
