"""Do the ranks' running statistics agree, and if not, does sampling explain it?

Of every BatchNorm the two ranks are named that are furthest apart in one channel, by |m_i - m_j| in deviations and by
the logarithm of v_i / v_j. `sampling` has the limits that they are held to, and what these take for granted.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from torch import Tensor

from bnexport.errors import UsageError
from bnexport.load.weights_file import same
from bnexport.ranks.buffers import layers_of, named, stacked, tracked
from bnexport.ranks.read import Rank, Source, read_ranks
from bnexport.ranks.sampling import Limits, Sampling
from bnexport.ranks.verdict import EITHER, MERGEABLE, VERDICTS

__all__ = ["LayerSpread", "RankComparison", "compare_ranks", "compared"]

EPS = 1e-5  # PyTorch's default; a state dict does not tell
ROUNDING = 4 * 2.0**-23


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
        one_batch: Whether the last batch alone explains the differences, too: where DistributedDataParallel had
            ``broadcast_buffers=True``, they then are of rank 0's data.
        broadcast: Whether it is known to have had.
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
    one_batch: bool
    broadcast: bool

    @property
    def ok(self) -> bool:
        """Whether nothing needs doing."""
        return self.verdict == "synchronised"

    @property
    def mergeable(self) -> bool:
        """Whether pooling makes sense."""
        return self.verdict in MERGEABLE and not self.broadcast

    def to_json(self) -> dict[str, Any]:
        """As one document."""
        return {"schema": "bnexport.ranks/1", "ok": self.ok, **asdict(self)}


def compare_ranks(
    sources: Sequence[Source],
    *,
    batch_size: int = 32,
    momentum: float = 0.1,
    alpha: float = 0.01,
    broadcast: bool = False,
    key: str | None = None,
) -> RankComparison:
    """Compare the running statistics that the ranks of one training have saved.

    Args:
        sources: Files, modules or state dicts, one a rank.
        batch_size: Independent samples a batch on one rank.
        momentum: Of the BatchNorms, in training; for a cumulative average of N batches, 2 / (N + 1).
        alpha: The chance of calling sampling something else, over all layers, channels and pairs of ranks.
        broadcast: Whether DistributedDataParallel ran with ``broadcast_buffers=True``, its default, and no
            SyncBatchNorm; False: not known.
        key: The entry of a checkpoint that holds the model.

    Raises:
        UsageError: Fewer than two are given, an argument cannot be used, or there is no BatchNorm.
        Refused: One cannot be read, or they are of different models.
    """
    sampling = Sampling(batch_size, momentum, alpha, broadcast)
    return compared(read_ranks(sources, key), sampling)


def compared(ranks: Sequence[Rank], sampling: Sampling) -> RankComparison:
    """See `compare_ranks`."""
    names = layers_of(ranks[0].tensors)
    if not names:
        why = "no checkpoint holds a running mean and variance"
        raise UsageError(
            "no BatchNorm to compare", why, "Give checkpoints of a model that has some"
        )
    channels = sum(ranks[0].tensors[named(name)[0]].numel() for name in names)
    narrow = sampling.of_last_batch(channels, len(ranks))
    limits = narrow if sampling.broadcast else sampling.of_averages(channels, len(ranks))
    layers = tuple(_spread(ranks, name, limits) for name in names)
    differing = tuple(_differing(ranks, names))
    one_batch = all(_within(layer, narrow) for layer in layers)
    verdict = _verdict(layers, differing, sampling.broadcast)
    said = EITHER if verdict == "diverged" and one_batch else VERDICTS[verdict]
    return RankComparison(
        verdict=verdict,
        text=said.text,
        remedy=said.remedy,
        ranks=tuple(rank.name for rank in ranks),
        layers=layers,
        differing=differing,
        shift_limit=limits.shift,
        log_ratio_limit=limits.log_ratio,
        alpha=sampling.alpha,
        uneven=any(len(set(layer.tracked)) > 1 for layer in layers if layer.tracked),
        one_batch=one_batch,
        broadcast=sampling.broadcast,
    )


def _verdict(layers: Sequence[LayerSpread], differing: Sequence[str], broadcast: bool) -> str:
    if any(layer.broken for layer in layers):
        return "broken"
    if differing:
        return "models differ"
    if not all(layer.explained for layer in layers):
        return "data differ"
    if all(_within(layer, Limits(ROUNDING, ROUNDING)) for layer in layers):
        return "synchronised"
    return "last batch" if broadcast else "diverged"


def _within(layer: LayerSpread, limits: Limits) -> bool:
    return layer.shift <= limits.shift and layer.log_ratio <= limits.log_ratio


def _spread(ranks: Sequence[Rank], name: str, limits: Limits) -> LayerSpread:
    tensors = [rank.tensors for rank in ranks]
    means, variances = stacked(tensors, name)
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
        explained=shift <= limits.shift and log_ratio <= limits.log_ratio,
        tracked=tracked(tensors, name),
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
    buffers = {each for name in names for each in named(name)}
    for name, value in ranks[0].tensors.items():
        if name not in buffers and not all(same(value, rank.tensors[name]) for rank in ranks[1:]):
            yield name
