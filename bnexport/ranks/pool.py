r"""One checkpoint out of the ranks': the statistics of all data together.

With weights w_i, the share of the batches that rank i tracked, and its mean m_i and stored variance v_i,

    m = sum w_i m_i        v = sum w_i (v_i + (m_i - m)^2)

The stored variance is the unbiased one, n / (n - 1) times that by which a batch of n values a channel is normalised.
Where n is known, it is put right: each rank's is made biased, pooled, and made unbiased for the n of all ranks
together; then pooling one batch of each rank gives exactly what SyncBatchNorm stores for it. Where it is not, v is off
by one part in n at most. Over many batches the means m_i are averages, and what they scattered from batch to batch is
lost: one part in the batch size at most. `bnexport recalibrate` has neither error.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from bnexport.errors import OutputError, Refused, UsageError
from bnexport.publish import Staging
from bnexport.ranks.compare import RankComparison
from bnexport.ranks.read import Rank, layers_of

__all__ = ["merge_ranks", "pooled"]


def pooled(
    means: Tensor, variances: Tensor, weights: Tensor, elements: int | None = None
) -> tuple[Tensor, Tensor]:
    """The mean and the unbiased variance of all ranks.

    Args:
        means: Float64 of shape (R, C).
        variances: The unbiased ones, float64 of shape (R, C).
        weights: Of shape (R,); they need not sum to 1.
        elements: Values a channel in one rank's batch; None: many.

    Raises:
        UsageError: ``elements`` is below 2, of which there is no unbiased variance.
    """
    if elements is not None and elements < 2:
        raise UsageError(f"{elements} elements", "they have no unbiased variance", "Give 2 or more")
    share = (weights / weights.sum()).double()[:, None]
    mean = (share * means).sum(0)
    biased = variances if elements is None else variances * ((elements - 1) / elements)
    variance = (share * (biased + (means - mean) ** 2)).sum(0)
    if elements is not None:
        together = elements * len(means)
        variance = variance * (together / (together - 1))
    return mean, variance


def merge_ranks(
    ranks: Sequence[Rank], found: RankComparison, output: Path, elements: int | None = None
) -> None:
    """Write the first rank's file with the statistics of all; every other byte of it stays.

    The number of tracked batches becomes that of all ranks together.

    Raises:
        Refused: The ranks are not of one run, or the first is no file.
        OutputError: The output is one of the inputs, or cannot be written.
    """
    if not found.mergeable:
        raise Refused("the checkpoints cannot be merged", found.text, found.remedy)
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
    found: dict[str, Tensor] = {}
    for layer in layers_of(ranks[0]):
        prefix = f"{layer}." if layer else ""
        counter = f"{prefix}num_batches_tracked"
        counts = [rank.tensors[counter] for rank in ranks if counter in rank.tensors]
        weights = torch.ones(len(ranks))
        if counts and all(int(count) > 0 for count in counts):
            weights = torch.stack([count.double().reshape(()) for count in counts])
        means, variances = (
            torch.stack([rank.tensors[prefix + key].double().flatten() for rank in ranks])
            for key in ("running_mean", "running_var")
        )
        mean, variance = pooled(means, variances, weights, elements)
        shape = ranks[0].tensors[f"{prefix}running_mean"].shape
        found[f"{prefix}running_mean"] = mean.reshape(shape)
        found[f"{prefix}running_var"] = variance.reshape(shape)
        if counts:
            found[counter] = torch.stack(counts).sum(0)
    return found
