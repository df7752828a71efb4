"""Checkpoints that the ranks of one training saved: whether their BatchNorms agree, and one out of all."""

from bnexport.ranks.compare import LayerSpread, RankComparison, compare_ranks
from bnexport.ranks.pool import merge_ranks, pooled

__all__ = ["LayerSpread", "RankComparison", "compare_ranks", "merge_ranks", "pooled"]
