"""What the differences between ranks mean, and what to do."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["EITHER", "MERGEABLE", "VERDICTS", "Verdict"]


@dataclass(frozen=True)
class Verdict:
    """A finding in a sentence, and the remedy."""

    text: str
    remedy: str = ""


_TRAIN = (
    "train with SyncBatchNorm (torch.nn.SyncBatchNorm.convert_sync_batchnorm before DistributedDataParallel) where a "
    "rank's batch is below 16"
)

VERDICTS = {
    "broken": Verdict(
        "running statistics are broken on some ranks",
        "Take an earlier checkpoint; see which step it began in: bnexport inspect",
    ),
    "models differ": Verdict(
        "the parameters differ: these are not the ranks of one run at one step",
        "Give checkpoints that were saved at the same step; all-reduce keeps parameters equal",
    ),
    "data differ": Verdict(
        "statistics diverged: SyncBatchNorm was not used, and the ranks saw different data, for sampling explains less",
        "Shuffle before sharding, train with SyncBatchNorm (torch.nn.SyncBatchNorm.convert_sync_batchnorm before "
        "DistributedDataParallel), and for this checkpoint use bnexport recalibrate, or --merge if broadcast_buffers "
        "was off",
    ),
    "last batch": Verdict(
        "SyncBatchNorm was not used: all ranks hold rank 0's statistics, and differ by their last batch alone",
        "Use bnexport recalibrate, for merging them brings in one batch of each rank; " + _TRAIN,
    ),
    "diverged": Verdict(
        "statistics diverged: SyncBatchNorm was not used. Sampling explains how far; one batch does not, so "
        "broadcast_buffers was off",
        "Use --merge, which has less noise than any rank alone; " + _TRAIN,
    ),
    "synchronised": Verdict(
        "the statistics are the same on all ranks: by SyncBatchNorm, or rank 0's were copied to all"
    ),
}

# Of "diverged", where it cannot be told whether the ranks averaged batches of their own.
EITHER = Verdict(
    "statistics diverged: SyncBatchNorm was not used. Sampling explains how far, and so does one batch",
    "Use --merge if broadcast_buffers was off; if it was on (the default of DistributedDataParallel), all ranks hold "
    "rank 0's statistics but for the last batch: use bnexport recalibrate; " + _TRAIN,
)

MERGEABLE = ("synchronised", "diverged", "data differ")
