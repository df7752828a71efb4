r"""Do the ranks' running statistics agree, and if not, does sampling explain it?

Running statistics are exponential averages with momentum a, of the batches that one rank saw. So many independent
batches have an average as noisy:

    n = (2 - a) / a            (19 at a = 0.1)

A batch of B samples of a population of variance v has a mean with a variance of at most v / B, where all pixels of a
sample are alike; less where they differ. So the means of two ranks differ by a normal deviate of at most

    sqrt(2 v / (n B))          and the logarithms of their variances of    sqrt(4 / (n B)).

The limits are those at which one of all the channels, layers and pairs of ranks is passed with probability alpha, by
Bonferroni. Pixels do differ, and so they are wide: what passes them is no noise.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from statistics import NormalDist
from typing import Any

import torch
from torch import Tensor

from bnexport.errors import UsageError
from bnexport.load.weights_file import same
from bnexport.ranks.read import Rank, Source, layers_of, read_ranks

__all__ = ["LayerSpread", "RankComparison", "compare_ranks", "compared"]

EPS = 1e-5  # PyTorch's default; a state dict does not tell
ROUNDING = 4 * 2.0**-23
_COUNTER = "num_batches_tracked"

VERDICTS = {
    "broken": (
        "running statistics are broken on some ranks",
        "Take an earlier checkpoint; see which step it began in: bnexport inspect",
    ),
    "models differ": (
        "the parameters differ: these are not the ranks of one run at one step",
        "Give checkpoints that were saved at the same step; all-reduce keeps parameters equal",
    ),
    "data differ": (
        "statistics diverged: SyncBatchNorm was not used, and the ranks saw different data, for sampling explains less",
        "Shuffle before sharding, train with SyncBatchNorm (torch.nn.SyncBatchNorm.convert_sync_batchnorm before "
        "DistributedDataParallel), and for this checkpoint use --merge or bnexport recalibrate",
    ),
    "diverged": (
        "statistics diverged: SyncBatchNorm was not used. Sampling explains how far",
        "Use --merge, which has less noise than any rank alone; train with SyncBatchNorm where a rank's batch is "
        "below 16",
    ),
    "synchronised": ("the statistics are the same on all ranks", ""),
}


@dataclass(frozen=True)
class LayerSpread:
    """How far the ranks are apart in one BatchNorm.

    Attributes:
        name: Its qualified name.
        channels: How many.
        shift: The greatest difference of two ranks' means, in deviations.
        shift_at: The channel, and the two ranks.
        log_ratio: The greatest logarithm of the ratio of two ranks' variances.
        log_ratio_at: The channel, and the two ranks.
        explained: Whether sampling explains both.
        tracked: ``num_batches_tracked`` of each rank; None where there is none.
        broken: What is wrong with the values, by rank.
    """

    name: str
    channels: int
    shift: float
    shift_at: tuple[int, int, int]
    log_ratio: float
    log_ratio_at: tuple[int, int, int]
    explained: bool
    tracked: tuple[int, ...] | None
    broken: tuple[str, ...] = ()


@dataclass(frozen=True)
class RankComparison:
    """What was found.

    Attributes:
        verdict: One of `VERDICTS`.
        text: It, in a sentence.
        remedy: What to do.
        ranks: Their names.
        layers: The BatchNorms, in the order of the file.
        differing: Parameters and other tensors that differ between ranks.
        shift_limit: What sampling explains of ``shift``.
        log_ratio_limit: What sampling explains of ``log_ratio``.
        alpha: The chance that sampling alone passes a limit, over everything.
        uneven: Whether ranks have tracked different numbers of batches.
    """

    verdict: str
    text: str
    remedy: str
    ranks: tuple[str, ...]
    layers: tuple[LayerSpread, ...]
    differing: tuple[str, ...]
    shift_limit: float
    log_ratio_limit: float
    alpha: float
    uneven: bool

    @property
    def ok(self) -> bool:
        """Whether nothing needs doing."""
        return self.verdict == "synchronised"

    @property
    def mergeable(self) -> bool:
        """Whether pooling makes sense."""
        return self.verdict in ("synchronised", "diverged", "data differ")

    def to_json(self) -> dict[str, Any]:
        """As one document."""
        return {"schema": "bnexport.ranks/1", "ok": self.ok, **asdict(self)}


def compare_ranks(
    sources: Sequence[Source],
    *,
    batch_size: int = 32,
    momentum: float = 0.1,
    alpha: float = 0.01,
    key: str | None = None,
) -> RankComparison:
    """Compare the running statistics that the ranks of one training have saved.

    Args:
        sources: Files, modules or state dicts, one a rank.
        batch_size: Samples a batch on one rank.
        momentum: Of the BatchNorms, in training.
        alpha: The chance of calling sampling something else.
        key: The entry of a checkpoint that holds the model.

    Raises:
        UsageError: Fewer than two are given, an argument cannot be used, or there is no BatchNorm.
        Refused: One cannot be read, or they are of different models.
    """
    return compared(read_ranks(sources, key), batch_size, momentum, alpha)


def compared(
    ranks: Sequence[Rank], batch_size: int, momentum: float, alpha: float
) -> RankComparison:
    """See `compare_ranks`."""
    if batch_size < 1 or not 0 < momentum <= 1 or not 0 < alpha < 1:
        why = f"batch size {batch_size}, momentum {momentum}, alpha {alpha}"
        raise UsageError(
            "what sampling explains",
            why,
            "Give a batch of 1 or more, and the others between 0 and 1",
        )
    names = layers_of(ranks[0])
    if not names:
        why = "no checkpoint holds a running mean and variance"
        raise UsageError(
            "no BatchNorm to compare", why, "Give checkpoints of a model that has some"
        )
    limits = _limits(ranks, names, batch_size, momentum, alpha)
    layers = tuple(_spread(ranks, name, limits) for name in names)
    differing = tuple(_differing(ranks, names))
    verdict = _verdict(layers, differing)
    uneven = any(len(set(layer.tracked)) > 1 for layer in layers if layer.tracked)
    text, remedy = VERDICTS[verdict]
    return RankComparison(
        verdict,
        text,
        remedy,
        tuple(rank.name for rank in ranks),
        layers,
        differing,
        *limits,
        alpha,
        uneven,
    )


def _verdict(layers: Sequence[LayerSpread], differing: Sequence[str]) -> str:
    if any(layer.broken for layer in layers):
        return "broken"
    if differing:
        return "models differ"
    if not all(layer.explained for layer in layers):
        return "data differ"
    apart = any(max(layer.shift, layer.log_ratio) > ROUNDING for layer in layers)
    return "diverged" if apart else "synchronised"


def _limits(
    ranks: Sequence[Rank], names: Sequence[str], batch_size: int, momentum: float, alpha: float
) -> tuple[float, float]:
    channels = sum(_values(ranks[0], name)[0].numel() for name in names)
    pairs = len(ranks) * (len(ranks) - 1) // 2
    # Two statistics, each on two sides.
    tail = alpha / (4 * pairs * max(channels, 1))
    quantile = NormalDist().inv_cdf(1 - tail)
    independent = (2 - momentum) / momentum * batch_size
    return quantile * math.sqrt(2 / independent), quantile * math.sqrt(4 / independent)


def _spread(ranks: Sequence[Rank], name: str, limits: tuple[float, float]) -> LayerSpread:
    means, variances = (
        torch.stack(each) for each in zip(*(_values(r, name) for r in ranks), strict=True)
    )
    broken = tuple(_broken(ranks, means, variances))
    deviation = (variances.mean(0) + EPS).clamp_min(EPS).sqrt()
    shift, shift_at = _widest(means / deviation)
    log_ratio, log_ratio_at = _widest((variances.clamp_min(0) + EPS).log())
    return LayerSpread(
        name=name,
        channels=means.shape[1],
        shift=shift,
        shift_at=shift_at,
        log_ratio=log_ratio,
        log_ratio_at=log_ratio_at,
        explained=shift <= limits[0] and log_ratio <= limits[1],
        tracked=_tracked(ranks, name),
        broken=broken,
    )


def _widest(values: Tensor) -> tuple[float, tuple[int, int, int]]:
    """The greatest range over the ranks, its channel, and the ranks at its ends."""
    values = values.nan_to_num(0.0, 0.0, 0.0)
    channel = int((values.amax(0) - values.amin(0)).argmax())
    low, high = int(values[:, channel].argmin()), int(values[:, channel].argmax())
    return float(values[high, channel] - values[low, channel]), (channel, low, high)


def _broken(ranks: Sequence[Rank], means: Tensor, variances: Tensor) -> Iterator[str]:
    for rank, mean, variance in zip(ranks, means, variances, strict=True):
        if not bool(mean.isfinite().all() and variance.isfinite().all()):
            yield f"{rank.name}: NaN or Inf"
        elif bool((variance < 0).any()):
            yield f"{rank.name}: a negative variance"


def _differing(ranks: Sequence[Rank], names: Sequence[str]) -> Iterator[str]:
    keys = ("running_mean", "running_var", _COUNTER)
    buffers = {f"{name}.{key}" if name else key for name in names for key in keys}
    for name, value in ranks[0].tensors.items():
        if name not in buffers and not all(same(value, rank.tensors[name]) for rank in ranks[1:]):
            yield name


def _values(rank: Rank, name: str) -> tuple[Tensor, Tensor]:
    prefix = f"{name}." if name else ""
    mean, variance = (rank.tensors[prefix + key] for key in ("running_mean", "running_var"))
    return mean.double().flatten(), variance.double().flatten()


def _tracked(ranks: Sequence[Rank], name: str) -> tuple[int, ...] | None:
    key = f"{name}.{_COUNTER}" if name else _COUNTER
    return tuple(int(rank.tensors[key]) for rank in ranks) if key in ranks[0].tensors else None
