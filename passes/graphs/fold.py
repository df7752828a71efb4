"""All of the folding, to its fixed point: what one pass does, another may go on from.

1. Fold what goes as a whole; merge branches, whose sum may then take up what is behind it; drop what is unread.
2. Compose what is left in a row, for the whole of it may be taken apart better than its parts.
3. Then fold what goes in part, or at the cost of another node; and again from 1.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import onnx_ir as ir
import onnx_ir.passes.common as common

from bnexport.passes.graphs.compose_affines import ComposeAffines
from bnexport.passes.graphs.contract import GraphPass
from bnexport.passes.graphs.fate import Fate
from bnexport.passes.graphs.fold_batch_norm import FoldBatchNorm
from bnexport.passes.graphs.merge_branches import MergeBranches
from bnexport.passes.graphs.narrow_conv import NarrowConv

__all__ = ["Fold"]


class Fold(GraphPass):
    """Run the folding passes until none of them changes anything.

    It ends: every change removes a node, or leaves of an affine one with less to do.

    Args:
        record: Called with the fate of every BatchNormalization, the last word last.
    """

    def __init__(self, record: Callable[[Fate], None] = lambda fate: None) -> None:
        super().__init__()
        self._whole = [
            FoldBatchNorm(record, partly=False),
            MergeBranches(record),
            NarrowConv(),
            common.RemoveUnusedNodesPass(),
        ]
        self._partly = [ComposeAffines(), FoldBatchNorm(record)]

    @property
    def steps(self) -> Sequence[ir.passes.PassBase]:
        """The passes that it runs."""
        return [*self._whole, self._partly[0]]

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Fold in place."""
        modified, going = False, True
        while going:
            while sum(step(model).modified for step in self._whole):
                modified = True
            going = bool(sum(step(model).modified for step in self._partly))
            modified |= going
        return ir.passes.PassResult(model, modified)
