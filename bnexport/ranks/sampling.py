r"""How far sampling alone takes two ranks' statistics apart.

A batch of B independent samples of a population of variance v has a mean of variance v / B at most, which is reached
where all pixels of a sample are alike: so samples are counted, not pixels. If values are Gaussian, its variance has a
relative variance of 2 / B at most. Running statistics are exponential averages with momentum a, as noisy as

    n = (2 - a) / a            (19 at a = 0.1)

batches, once some 2 / a of them were seen. So the standardised means and the log variances of two ranks differ by

    sqrt(2 / (n B))    and    sqrt(4 / (n B)).

With ``broadcast_buffers=True``, its default, DistributedDataParallel copies rank 0's buffers to all ranks before every
forward pass. Then two ranks differ by what they have made of the last batch, and by nothing else:

    a sqrt(2 / B)      and    a sqrt(4 / B),

less by sqrt(a (2 - a)), which is 0.44 at a = 0.1. Both limits are upper ones. So what passes the second was not
broadcast, or not drawn from the same data; what does not may be either, for pixels that differ bring it down, too.

The limits are those that one of two statistics, on two sides, of all channels, layers and pairs of ranks passes with
probability alpha at most (Bonferroni), as far as the deviates are normal: where n B is some 50 or more and no channel
is far more heavy-tailed than a Gaussian. A channel that few samples light up is: give a smaller batch size for it.
"""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass
from statistics import NormalDist

from bnexport.errors import UsageError

__all__ = ["Limits", "Sampling"]

_MOST = 2**31


@dataclass(frozen=True)
class Limits:
    """What sampling explains: of the means in deviations, of the logarithm of the variances' ratio."""

    shift: float
    log_ratio: float


@dataclass(frozen=True)
class Sampling:
    """How the statistics came about.

    Args:
        batch_size: Independent samples a batch on one rank.
        momentum: Of the BatchNorms, in training. For a cumulative average (None) of N batches, 2 / (N + 1).
        alpha: The chance that sampling alone passes a limit anywhere.
        broadcast: Whether DistributedDataParallel ran with ``broadcast_buffers=True``; False: not known.

    Raises:
        UsageError: A number is out of its range.
    """

    batch_size: int = 32
    momentum: float = 0.1
    alpha: float = 0.01
    broadcast: bool = False

    def __post_init__(self) -> None:
        fits = 1 <= self.batch_size <= _MOST and 0 < self.momentum <= 1 and 0 < self.alpha < 1
        if not fits:
            raise UsageError(
                "what sampling explains",
                f"batch size {self.batch_size}, momentum {self.momentum}, alpha {self.alpha}",
                "Give a batch of 1 or more, and the others between 0 and 1",
            )

    def of_averages(self, channels: int, ranks: int) -> Limits:
        """Where each rank averages batches of its own.

        Args:
            channels: Those of all layers together.
            ranks: How many.
        """
        batches = (2 - self.momentum) / self.momentum
        return self._limits(channels, ranks, 1 / batches)

    def of_last_batch(self, channels: int, ranks: int) -> Limits:
        """Where all ranks held the same before the last batch. Arguments as of `of_averages`."""
        return self._limits(channels, ranks, self.momentum**2)

    def _limits(self, channels: int, ranks: int, batches: float) -> Limits:
        """Args: ..., batches: the variance of an average, in units of that of one batch."""
        pairs = ranks * (ranks - 1) // 2
        tail = max(self.alpha / (4 * pairs * channels), sys.float_info.min)
        quantile = -NormalDist().inv_cdf(tail)
        scale = quantile * math.sqrt(batches / self.batch_size)
        return Limits(scale * math.sqrt(2), scale * math.sqrt(4))
