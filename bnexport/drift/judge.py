r"""Sampling noise or drift: what the observed moments say of the running statistics.

For one channel, m0 and v0 the running mean and variance and m, v the observed ones (eps added to both variances):

    shift       d = (m - m0) / sqrt(v0)
    log ratio   r = ln(v / v0)
    divergence  J = KL(p || q) + KL(q || p) = (v / v0 + v0 / v - 2 + (m - m0)^2 (1 / v + 1 / v0)) / 2

of the Gaussians (H. Jeffreys, Proc. R. Soc. A 186 (1946) 453-461), in nats. It is the same before and after any
affine map, so gamma and beta do not count. J of a layer is the mean over its channels, less the bias that noise gives
it: that, and the confidence interval, are the jackknife's over the groups (B. Efron, C. Stein, Ann. Statist. 9 (1981)
586-596).

The test. With w_g the share of group g, let

    z_g = w_g [(m_g - m0) / sqrt(v0), (q_g - v0) / (sqrt(2) v0)],      q_g the mean of (x - m0)^2,

a vector over all channels. Where nothing drifted its expectation is zero, and its sign as likely one as the other. So
T = |sum_g e_g z_g|^2 for random signs e is what T = |sum_g z_g|^2 is compared with: no distribution is assumed, and
channels, pixels and layers may be correlated as they like, for all of them are flipped together. The largest T over the
layers, each in units of its own spread, makes p-values that hold for all layers at once (P. H. Westfall, S. S. Young:
Resampling-based multiple testing, Wiley 1993). Only the G x G products of the z_g are needed.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from bnexport.drift.state import DriftState, LayerState
from bnexport.errors import UsageError

__all__ = ["ALPHA", "THRESHOLD", "Drift", "LayerDrift", "judge"]

ALPHA = 0.01
THRESHOLD = 0.05
FLIPS = 9999
# Fewer groups than these have fewer signs than a p-value of 0.01 needs.
LEAST_GROUPS = 8
_SEED = 20110501


@dataclass(frozen=True)
class LayerDrift:
    """One layer.

    Attributes:
        name: Its qualified name.
        channels: How many.
        samples: The effective number: of independent values that would leave as much noise in the mean; the median over
            the channels.
        divergence: Mean over the channels of the symmetric KL divergence, in nats, freed of noise; at least 0.
        interval: Its 95 % confidence interval.
        p: How likely so much would be where nothing drifted, for all layers at once.
        drifted: Whether p is below alpha and the divergence above the threshold.
        shift: (m - m0) / sqrt(v0) of each channel, float64 of shape (C,).
        shift_error: Half the width of its 95 % confidence interval.
        log_ratio: ln(v / v0) of each channel.
        log_ratio_error: Half the width of its 95 % confidence interval.
        by_channel: The divergence of each channel, as observed.
        observed: The observed mean and variance of each channel.
        running: The running mean and variance.
        dropped: Samples with NaN or Inf, left out.
    """

    name: str
    channels: int
    samples: float
    divergence: float
    interval: tuple[float, float]
    p: float
    drifted: bool
    shift: Tensor
    shift_error: Tensor
    log_ratio: Tensor
    log_ratio_error: Tensor
    by_channel: Tensor
    observed: tuple[Tensor, Tensor]
    running: tuple[Tensor, Tensor]
    dropped: int = 0

    @property
    def worst(self) -> int:
        """The channel that diverges most."""
        return int(self.by_channel.argmax())


@dataclass(frozen=True)
class Drift:
    """What was found.

    Attributes:
        layers: In the order of the calls.
        samples: Observed.
        batches: How many calls came with each size of a batch.
        alpha: Of the test.
        threshold: Of the divergence, in nats.
    """

    layers: tuple[LayerDrift, ...]
    samples: int
    batches: Mapping[int, int]
    alpha: float
    threshold: float

    @property
    def drifted(self) -> bool:
        """Whether any layer did."""
        return any(layer.drifted for layer in self.layers)

    @property
    def starts(self) -> LayerDrift | None:
        """The first layer, in the order of the calls, that drifted: later ones may have it from there."""
        return next((layer for layer in self.layers if layer.drifted), None)

    def ranked(self) -> tuple[LayerDrift, ...]:
        """The most divergent first."""
        return tuple(sorted(self.layers, key=lambda layer: -layer.divergence))


def judge(state: DriftState, *, alpha: float = ALPHA, threshold: float = THRESHOLD) -> Drift:
    """Tell drift from the noise of sampling.

    Args:
        state: What was observed.
        alpha: The chance of any layer's being called drifted where none did, were the threshold 0.
        threshold: The least divergence that counts, in nats: 0.05 is a shift of every mean by 0.22 deviations, or
            variances 1.37 times as large. Running statistics carry noise of their own, which many samples would find.

    Raises:
        UsageError: Too few samples, or no BatchNorm was reached; ``alpha`` or ``threshold`` cannot be used.
    """
    if not 0 < alpha < 1 or not threshold >= 0:
        why = f"alpha is {alpha}, the threshold {threshold}"
        raise UsageError(
            "limits of drift", why, "Give alpha between 0 and 1, and a threshold of 0 or more"
        )
    seen = {
        name: layer for name, layer in state.layers.items() if bool((layer.seen.count > 0).any())
    }
    if (
        not seen
        and (broken := next((n for n, x in state.layers.items() if x.dropped), None)) is not None
    ):
        why = f"every sample that reached {broken or 'the model'} held NaN or Inf"
        raise UsageError("no drift to measure", why, "Look for NaN in the data and in the weights")
    if not seen:
        why = "no BatchNorm with running statistics was reached"
        raise UsageError("no drift to measure", why, "See what the model holds: bnexport inspect")
    for name, layer in seen.items():
        filled = int((layer.seen.count > 0).sum())
        if filled < LEAST_GROUPS:
            why = f"{name or 'the model'} saw {state.samples} samples, in {filled} groups"
            raise UsageError("too few samples to tell drift from noise", why, "Give 16 or more")
    values = _adjusted([_products(layer) for layer in seen.values()])
    layers = tuple(
        _layer(name, layer, p, alpha, threshold)
        for (name, layer), p in zip(seen.items(), values, strict=True)
    )
    return Drift(layers, state.samples, state.batches, alpha, threshold)


def _layer(name: str, layer: LayerState, p: float, alpha: float, threshold: float) -> LayerDrift:
    filled = layer.seen.count[:, 0] > 0
    count, means = layer.seen.count[filled], layer.seen.mean[filled]
    within = layer.seen.squares[filled] / count
    share = count / count.sum()
    groups = len(count)
    m = (share * means).sum(0)
    about = within + (means - m) ** 2
    v = (share * about).sum(0)
    m0, v0 = layer.running.mean, layer.running.var + layer.running.eps
    wide = _quantile(groups - 1)
    # Of the mean, and of the variance by its influence function.
    few = groups / (groups - 1)
    error_m = (few * (share * (means - m)).square().sum(0)).sqrt()
    error_v = (few * (share * (about - v)).square().sum(0)).sqrt()
    by_channel = _divergence(m, v + layer.running.eps, m0, v0)
    divergence, interval = _jackknife(share, means, within, layer)
    independent = (v / error_m.square().clamp_min(1e-300)).clamp_max(float(count.sum()))
    return LayerDrift(
        name=name,
        channels=len(m),
        samples=float(independent.median()),
        divergence=divergence,
        interval=interval,
        p=p,
        drifted=p <= alpha and divergence >= threshold,
        shift=(m - m0) / v0.sqrt(),
        shift_error=wide * error_m / v0.sqrt(),
        log_ratio=((v + layer.running.eps) / v0).log(),
        log_ratio_error=wide * error_v / (v + layer.running.eps),
        by_channel=by_channel,
        observed=(m, v),
        running=(m0, layer.running.var),
        dropped=layer.dropped,
    )


def _divergence(m: Tensor, v: Tensor, m0: Tensor, v0: Tensor) -> Tensor:
    """The formula; both variances hold eps."""
    return (v / v0 + v0 / v - 2 + (m - m0) ** 2 * (1 / v + 1 / v0)) / 2


def _jackknife(
    share: Tensor, means: Tensor, within: Tensor, layer: LayerState
) -> tuple[float, tuple[float, float]]:
    """The divergence of the layer without its bias, and its confidence interval."""
    groups, eps = len(share), layer.running.eps
    m0, v0 = layer.running.mean, layer.running.var + eps
    # All groups, then all but each in turn.
    keep = torch.cat([torch.ones(1, groups), 1 - torch.eye(groups)]).double() * share[:, 0]
    keep = keep / keep.sum(1, keepdim=True)
    m = keep @ means
    # About m0, in which float64 loses nothing that matters to a ratio of variances.
    v = keep @ (within + (means - m0) ** 2) - (m - m0) ** 2
    found = _divergence(m, v.clamp_min(0) + eps, m0, v0).mean(1)
    whole, without = found[0], found[1:]
    better = float(groups * whole - (groups - 1) * without.mean())
    error = float(((groups - 1) / groups * (without - without.mean()).square().sum()).sqrt())
    wide = _quantile(groups - 1) * error
    return max(better, 0.0), (max(better - wide, 0.0), max(better + wide, 0.0))


def _products(layer: LayerState) -> Tensor:
    """z_g . z_h of all groups, of shape (G, G)."""
    count = layer.seen.count
    m0, v0 = layer.running.mean, layer.running.var + layer.running.eps
    share = count / count.sum()
    apart = layer.seen.mean - m0
    spread = layer.seen.squares / count.clamp_min(1) + apart**2 - layer.running.var
    z = share * torch.cat([apart / v0.sqrt(), spread / (math.sqrt(2) * v0)], dim=1)
    return z @ z.T


def _adjusted(products: list[Tensor]) -> list[float]:
    """The p-value of each layer, for all of them at once."""
    groups = len(products[0])
    made = torch.Generator().manual_seed(_SEED)
    signs = torch.randint(0, 2, (FLIPS, groups), generator=made).double() * 2 - 1
    signs = torch.cat([torch.ones(1, groups, dtype=torch.float64), signs])
    found = []
    for each in products:
        apart = each - torch.diag(each.diagonal())  # the diagonal is the same for all signs
        total = ((signs @ apart) * signs).sum(1)
        # The spread over all signs: those of two groups are independent.
        found.append(total / (2 * apart.square().sum()).sqrt().clamp_min(1e-300))
    largest = torch.stack(found).amax(0)
    # A tie is no evidence: rounding must not make one.
    return [float((largest >= each[0] * (1 - 1e-9)).double().mean()) for each in found]


def _quantile(freedom: int) -> float:
    """Student's t at 97.5 %, by the Cornish-Fisher expansion (Abramowitz and Stegun 26.7.5): to 1e-3 from 7 on."""
    x = 1.959963984540054
    terms = (
        (x**3 + x) / 4,
        (5 * x**5 + 16 * x**3 + 3 * x) / 96,
        (3 * x**7 + 19 * x**5 + 17 * x**3 - 15 * x) / 384,
        (79 * x**9 + 776 * x**7 + 1482 * x**5 - 1920 * x**3 - 945 * x) / 92160,
    )
    return x + math.fsum(term / freedom**power for power, term in enumerate(terms, start=1))
