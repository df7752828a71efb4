"""Move: what a per-channel affine may pass on its way to a linear operator, back and forward.

Each rule answers for one operator: the same affine as it stands on the operator's other side, or the
sentence that says why it cannot pass. An operator that passes is left as it is.

    Identity, Dropout    as they are
    Relu, LeakyRelu...   need scale >= 0 and no shift
    Cast                 between float32 and float64
    the rest             `layout` and `windows`
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx_ir as ir

from bnexport.passes.graphs import layout, windows
from bnexport.passes.graphs.affine import ChannelAffine

__all__ = ["BACK", "FORWARD"]

Move = Callable[[ir.Node, ChannelAffine], "ChannelAffine | str"]


def same(node: ir.Node, affine: ChannelAffine) -> ChannelAffine | str:
    """An operator that does nothing at inference."""
    return affine


def dropout(node: ir.Node, affine: ChannelAffine) -> ChannelAffine | str:
    """Nothing at inference, unless it is told to train."""
    if len(node.inputs) > 2 and node.inputs[2] is not None:
        return "the Dropout may be live"
    return affine


def positive(node: ir.Node, affine: ChannelAffine) -> ChannelAffine | str:
    """f(s x) = s f(x) for s >= 0: Relu, LeakyRelu, PRelu, Abs."""
    if affine.shifts:
        return f"a shift does not pass {node.op_type}"
    if bool(np.any(affine.scale < 0)):
        return f"a negative scale does not pass {node.op_type}"
    return affine


def cast(node: ir.Node, affine: ChannelAffine) -> ChannelAffine | str:
    """Between float32 and float64: half precision would round, or overflow, at another place."""
    source = node.inputs[0]
    before, after = source.dtype if source else None, node.outputs[0].dtype
    if before is None or after is None:
        return "its type is not known"
    if not (before.is_floating_point() and after.is_floating_point()):
        return "it is cast between numbers of another kind"
    if before.itemsize < 4 or after.itemsize < 4:
        return "it is cast between half and single precision"
    return affine


# An operator that keeps its axes and treats channels alike moves an affine both ways alike.
BOTH_WAYS: dict[str, Move] = {
    "Abs": positive,
    "AveragePool": windows.average_pool,
    "Cast": cast,
    "Dropout": dropout,
    "Expand": layout.expand,
    "GlobalAveragePool": windows.global_average,
    "GlobalMaxPool": windows.max_pool,
    "GridSample": windows.grid_sample,
    "Identity": same,
    "LeakyRelu": positive,
    "MaxPool": windows.max_pool,
    "PRelu": positive,
    "Pad": windows.pad,
    "Relu": positive,
    "Resize": windows.resize,
    "Slice": windows.slices,
    "Tile": layout.tile,
}

BACK: dict[str, Move] = BOTH_WAYS | {
    "DepthToSpace": layout.depth_to_space,
    "Flatten": layout.reshape,
    "Gather": layout.gather,
    "GatherND": layout.gather,
    "ReduceMax": windows.reduce_max,
    "ReduceMean": windows.reduce_mean,
    "ReduceSum": windows.reduce_sum,
    "Reshape": layout.reshape,
    "SpaceToDepth": layout.space_to_depth,
    "Squeeze": layout.reshape,
    "Transpose": layout.transpose,
    "Unsqueeze": layout.reshape,
}

FORWARD: dict[str, Move] = BOTH_WAYS | {
    "DepthToSpace": layout.depth_to_space_forward,
    "Flatten": layout.reshape_forward,
    "Gather": layout.gather_forward,
    "GatherND": layout.gather_forward,
    "ReduceMean": windows.reduce_mean_forward,
    "Reshape": layout.reshape_forward,
    "SpaceToDepth": layout.space_to_depth_forward,
    "Squeeze": layout.reshape_forward,
    "Transpose": layout.transpose_forward,
    "Unsqueeze": layout.reshape_forward,
}
