"""All of the folding, to its fixed point: what one pass does, another may go on from.

1. Fold what goes as a whole; merge branches, whose sum may then take up what is behind it; drop what is unread.
2. Compose what is left in a row, for the whole of it may be taken apart better than its parts.
3. Then fold what goes in part, or at the cost of another node; and again from 1.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import onnx_ir as ir

from bnexport.passes.graphs.compose_affines import ComposeAffines
from bnexport.passes.graphs.contract import GraphPass
from bnexport.passes.graphs.fate import Fate
from bnexport.passes.graphs.fold_batch_norm import FoldBatchNorm
from bnexport.passes.graphs.merge_branches import MergeBranches
from bnexport.passes.graphs.narrow_conv import NarrowConv
from bnexport.passes.graphs.tried import Tried
from bnexport.passes.graphs.unread import DropUnread

__all__ = ["Fold"]


class Fold(GraphPass):
    """Run the folding passes until none of them changes anything.

    It ends: every change removes a node, or leaves of an affine one with less to do.

    Args:
        record: Called with the fate of every BatchNormalization, the last word last.
    """

    def __init__(self, record: Callable[[Fate], None] = lambda fate: None) -> None:
        super().__init__()
        self._tried = Tried()
        self._whole = [
            FoldBatchNorm(record, partly=False, tried=self._tried),
            MergeBranches(record),
            NarrowConv(),
            DropUnread(),
        ]
        self._partly = [ComposeAffines(), FoldBatchNorm(record, tried=self._tried)]
        self._edits, self._quiet = 0, dict[ir.passes.PassBase, int]()

    @property
    def steps(self) -> Sequence[ir.passes.PassBase]:
        """The passes that it runs."""
        return [*self._whole, self._partly[0]]

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Fold in place."""
        self._edits, self._quiet = 0, {}
        self._tried.forget()
        going = True
        while going:
            while sum(self._changes(step, model) for step in self._whole):
                pass
            going = sum(self._changes(step, model) for step in self._partly) > 0
        return ir.passes.PassResult(model, self._edits > 0)

    def _changes(self, step: ir.passes.PassBase, model: ir.Model) -> bool:
        """Run a step, unless it found nothing to do on the graph as it is."""
        if self._quiet.get(step) == self._edits:
            return False
        before = model.graph.num_nodes()
        modified = step(model).modified
        if isinstance(step, DropUnread):
            modified = (
                model.graph.num_nodes() != before
            )  # a constant that nobody reads is nothing to go on from
        self._edits += modified
        if modified and not isinstance(step, FoldBatchNorm):
            self._tried.forget()
        if not modified or isinstance(step, FoldBatchNorm):  # which goes to its own fixed point
            self._quiet[step] = self._edits
        return modified
