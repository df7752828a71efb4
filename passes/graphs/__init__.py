"""Graph passes: ``ir.Model -> ir.Model``, each valid before and valid after."""

from __future__ import annotations

from collections.abc import Callable

import onnx_ir as ir

from bnexport.passes.graphs.bias import DropZeroBias
from bnexport.passes.graphs.compose_affines import ComposeAffines
from bnexport.passes.graphs.constants import FoldConstants
from bnexport.passes.graphs.fate import Fate
from bnexport.passes.graphs.fix_reshapes import FixReshapes
from bnexport.passes.graphs.fold import Fold
from bnexport.passes.graphs.fold_batch_norm import FoldBatchNorm
from bnexport.passes.graphs.merge_branches import MergeBranches
from bnexport.passes.graphs.naming import adopt_names, kind_of, module_of, stamp, unstamp
from bnexport.passes.graphs.narrow_conv import NarrowConv
from bnexport.passes.graphs.shapes import InferShapes, NameBatch
from bnexport.passes.graphs.share import ShareInitializers
from bnexport.passes.graphs.simplify import Simplify
from bnexport.passes.graphs.spelling import LowerCaseEinsum
from bnexport.passes.graphs.unread import DropUnread
from bnexport.passes.graphs.untile_batch_norm import UntileBatchNorm

__all__ = [
    "ComposeAffines",
    "DropZeroBias",
    "Fate",
    "FixReshapes",
    "Fold",
    "FoldBatchNorm",
    "FoldConstants",
    "InferShapes",
    "LowerCaseEinsum",
    "MergeBranches",
    "NameBatch",
    "NarrowConv",
    "ShareInitializers",
    "Simplify",
    "UntileBatchNorm",
    "adopt_names",
    "kind_of",
    "module_of",
    "pipeline",
    "stamp",
    "unstamp",
]


def pipeline(
    record: Callable[[Fate], None],
    *,
    fold: bool = True,
    simplify: bool = True,
    computed: bool = False,
) -> list[ir.passes.PassBase]:
    """The passes, in order.

    Args:
        record: Takes the fate of every BatchNorm.
        fold: Whether BatchNorm is folded.
        simplify: Whether onnxsim runs.
        computed: Whether all that depends on constants alone has been computed.
    """
    passes: list[ir.passes.PassBase] = [
        InferShapes(),
        FoldConstants(
            computed=computed
        ),  # a weight must be seen as one before anything folds into it
        DropZeroBias(),
        InferShapes(),  # a Reshape whose target was computed has a shape only now
    ]
    if fold:
        passes += [
            UntileBatchNorm(),
            Fold(record),
            ComposeAffines(),
        ]
    passes += [
        FixReshapes(),
        DropUnread(),
        ShareInitializers(),
    ]  # a weight used twice folds twice
    if simplify:
        passes += [Simplify(), DropUnread()]
    return [*passes, LowerCaseEinsum(), NameBatch()]
