r"""One checkpoint out of the ranks': the statistics of all data together.

With weights w_i, the share of the batches that rank i tracked, and its mean m_i and stored variance v_i,

    m = sum w_i m_i        v = sum w_i (v_i + (m_i - m)^2)

The stored variance is the unbiased one, n / (n - 1) times that by which a batch of n values a channel is normalised.
Where n is known, it is put right: each rank's is made biased, pooled, and made unbiased for the n of all ranks
together. Then pooling one batch of each rank (momentum 1) gives exactly what SyncBatchNorm stores for it. Where it is
not given, v is off by one part in n at most. Over many batches the means m_i are averages, and what they scattered from
batch to batch is lost: one part in the batch size at most, and n puts nothing right. `bnexport recalibrate` has neither
error. What the sums are of are statistics of each rank's own batches: under broadcast_buffers=True they are rank 0's.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from bnexport.errors import OutputError, Refused, UsageError
from bnexport.publish import Staging
from bnexport.ranks.buffers import layers_of, named, stacked, tracked
from bnexport.ranks.compare import RankComparison
from bnexport.ranks.read import Rank
from bnexport.ranks.verdict import MERGEABLE

__all__ = ["merge_ranks", "pooled"]


def pooled(
    means: Tensor, variances: Tensor, weights: Tensor, elements: int | None = None
) -> tuple[Tensor, Tensor]:
    """The mean and the unbiased variance of all ranks.

    Args:
        means: Float64 of shape (R, C).
        variances: The unbiased ones, float64 of shape (R, C).
        weights: Of shape (R,), none negative; they need not sum to 1.
        elements: Values a channel in one rank's batch, where the statistics are those of one; None: many.

    Raises:
        UsageError: ``elements`` is below 2, of which there is no unbiased variance.
    """
    if elements is not None and elements < 2:
        raise UsageError(f"{elements} elements", "they have no unbiased variance", "Give 2 or more")
    weights = weights.double()
    share = (weights / weights.sum())[:, None]
    mean = (share * means).sum(0)
    biased = variances if elements is None else variances * ((elements - 1) / elements)
    variance = (share * (biased + (means - mean) ** 2)).sum(0)
    if elements is not None:
        together = elements * int((weights > 0).sum())
        variance = variance * (together / (together - 1))
    return mean, variance


def merge_ranks(
    ranks: Sequence[Rank], found: RankComparison, output: Path, elements: int | None = None
) -> None:
    """Write the first rank's file with the statistics of all; every other byte of it stays.

    The number of tracked batches becomes that of all ranks together.

    Raises:
        Refused: The ranks are not of one run, hold rank 0's statistics only, or the first is no file; or its type
            cannot hold what comes out.
        OutputError: The output is one of the inputs, or cannot be written.
    """
    if not found.mergeable:
        why, remedy = found.text, found.remedy
        if found.broadcast and found.verdict in MERGEABLE:
            why, remedy = "all ranks hold rank 0's statistics", "Use bnexport recalibrate"
        raise Refused("the checkpoints cannot be merged", why, remedy)
    file = ranks[0].file
    if file is None:
        raise Refused(
            "the ranks were given live", "there is no file to write again", "Use `pooled`"
        )
    inputs = {rank.file.path.resolve() for rank in ranks if rank.file}
    if output.resolve() in inputs:
        raise OutputError(f"cannot write {output}", "it is one of the inputs", "Name another file")
    changes = _changes(ranks, elements)
    with Staging(output) as staging:
        staged = staging.folder / output.name
        file.write({ranks[0].raw[name]: value for name, value in changes.items()}, staged)
        staging.commit(output.name, ())


def _changes(ranks: Sequence[Rank], elements: int | None) -> dict[str, Tensor]:
    own = ranks[0].tensors
    tensors = [rank.tensors for rank in ranks]
    found: dict[str, Tensor] = {}
    for layer in layers_of(own):
        mean, variance, counter = named(layer)
        counts = tracked(tensors, layer)
        pooled_both = pooled(*stacked(tensors, layer), _weights(counts, len(ranks)), elements)
        for name, value in zip((mean, variance), pooled_both, strict=True):
            found[name] = value.reshape(own[name].shape)
            _check_held(name, value, own[name].dtype)
        if counts:
            found[counter] = torch.full(own[counter].shape, sum(counts))
    return found


def _weights(counts: tuple[int, ...] | None, ranks: int) -> Tensor:
    """Shares of the batches; a rank that saw none has nothing to say. Equal where nobody counted."""
    return torch.tensor(counts if counts and any(counts) else [1] * ranks).double()


def _check_held(name: str, value: Tensor, dtype: torch.dtype) -> None:
    if not bool(value.to(dtype).isfinite().all()):
        kind = str(dtype).removeprefix("torch.")
        why = f"{name} of all ranks together is more than {kind} can hold"
        raise Refused("the checkpoints cannot be merged", why, "Save them in float32")
