"""Move: operators that put elements elsewhere. An affine's axis, or its vector, is rearranged with them.

Transpose            the axis is permuted
Reshape and kin      the vector is repeated or tiled, where row-major order keeps channels apart
DepthToSpace         the vector is repeated or tiled
SpaceToDepth         back: where the channels that one is spread over agree
Gather               channels are picked by constant indices
Expand, Tile         along other axes
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from bnexport.passes.graphs.affine import ChannelAffine
from bnexport.passes.graphs.graph import (
    Indices,
    array,
    integers,
    is_constant,
    sizes,
    static_product,
)

__all__ = [
    "depth_to_space",
    "depth_to_space_forward",
    "expand",
    "gather",
    "gather_forward",
    "reshape",
    "reshape_forward",
    "space_to_depth",
    "space_to_depth_forward",
    "tile",
    "transpose",
    "transpose_forward",
]

Shape = tuple[int | None, ...] | None


def transpose(node: ir.Node, affine: ChannelAffine) -> ChannelAffine | str:
    """Output axis i is input axis perm[i]."""
    shape = sizes(node.outputs[0])
    if affine.axis is None:
        return affine
    if shape is None:
        return "the rank is not known"
    perm = node.attributes.get_ints("perm", tuple(reversed(range(len(shape)))))
    return affine.on(perm[affine.axis])


def transpose_forward(node: ir.Node, affine: ChannelAffine) -> ChannelAffine | str:
    """Input axis perm[i] is output axis i."""
    shape = sizes(node.outputs[0])
    if affine.axis is None:
        return affine
    if shape is None:
        return "the rank is not known"
    perm = tuple(node.attributes.get_ints("perm", tuple(reversed(range(len(shape))))))
    return affine.on(perm.index(affine.axis))


def reshape(node: ir.Node, affine: ChannelAffine) -> ChannelAffine | str:
    """Element order does not change."""
    source, result = _shapes(node)
    return _respread(affine, result, source)


def reshape_forward(node: ir.Node, affine: ChannelAffine) -> ChannelAffine | str:
    """Element order does not change."""
    source, result = _shapes(node)
    return _respread(affine, source, result)


def depth_to_space(node: ir.Node, affine: ChannelAffine) -> ChannelAffine | str:
    """Output channel c comes from input channels c r^2 + k (CRD) or k C + c (DCR)."""
    if affine.axis != 1:
        return affine if affine.axis is None else "it runs along a spatial axis"
    return affine.at(1, _spread_channels(node, len(affine.scale)))


def depth_to_space_forward(node: ir.Node, affine: ChannelAffine) -> ChannelAffine | str:
    """The input channels that make one output channel must agree."""
    if affine.axis != 1:
        return affine if affine.axis is None else "it runs along a spatial axis"
    block = node.attributes.get_int("blocksize", 1) ** 2
    return _gathered(affine, 1, _spread_channels(node, len(affine.scale) // block))


def space_to_depth(node: ir.Node, affine: ChannelAffine) -> ChannelAffine | str:
    """Input channel c becomes output channels k C + c, which must agree."""
    if affine.axis != 1:
        return affine if affine.axis is None else "it runs along a spatial axis"
    channels = len(affine.scale) // node.attributes.get_int("blocksize", 1) ** 2
    return _gathered(affine, 1, np.arange(len(affine.scale)) % channels)


def space_to_depth_forward(node: ir.Node, affine: ChannelAffine) -> ChannelAffine | str:
    """Input channel c becomes output channels k C + c."""
    if affine.axis != 1:
        return affine if affine.axis is None else "it runs along a spatial axis"
    block = node.attributes.get_int("blocksize", 1) ** 2
    return affine.at(1, np.tile(np.arange(len(affine.scale)), block))


def gather(node: ir.Node, affine: ChannelAffine) -> ChannelAffine | str:
    """Channels picked by constant indices: those picked twice must agree, those left out are free."""
    where = _gather(node, affine, forward=False)
    if isinstance(where, str | ChannelAffine):
        return where
    axis, index, channels = where
    return _gathered(affine, axis, index, channels)


def gather_forward(node: ir.Node, affine: ChannelAffine) -> ChannelAffine | str:
    """The vector is picked as the channels are."""
    where = _gather(node, affine, forward=True)
    return where if isinstance(where, str | ChannelAffine) else affine.at(where[0], where[1])


def expand(node: ir.Node, affine: ChannelAffine) -> ChannelAffine | str:
    """Copies along other axes; axes are aligned from the last."""
    source, result = _shapes(node)
    if affine.axis is None:
        return affine
    if source is None or result is None or len(source) != len(result):
        return "the Expand adds axes"
    kept = source[affine.axis] is not None and source[affine.axis] == result[affine.axis]
    return affine if kept else "the channels themselves are copied"


def tile(node: ir.Node, affine: ChannelAffine) -> ChannelAffine | str:
    """Copies along other axes."""
    repeats = integers(node, 1)
    if affine.axis is None:
        return affine
    if repeats is None or repeats[affine.axis] != 1:
        return "the channels themselves are copied"
    return affine


def _gather(
    node: ir.Node, affine: ChannelAffine, *, forward: bool
) -> tuple[int, Indices, int] | ChannelAffine | str:
    """The axis that a Gather picks along, the indices and the number of channels; or what is clear at once."""
    source = sizes(node.inputs[0]) if node.inputs[0] else None
    indices = node.inputs[1]
    if affine.axis is None:
        return affine
    if source is None or indices is None or not is_constant(indices):
        return "the indices of the Gather are not constant"
    axis, index = node.attributes.get_int("axis", 0) % len(source), array(indices).astype(np.intp)
    if node.op_type == "GatherND" and not node.attributes.get_int("batch_dims", 0):
        axis, index = 0, index[..., 0] if index.shape[-1:] == (1,) else index
    if index.ndim > 1 or (node.op_type == "GatherND" and index.ndim == array(indices).ndim):
        return "the indices of the Gather are no vector"
    if affine.axis != axis:
        if index.ndim == 1 or affine.axis < axis:
            return affine
        return affine.on(affine.axis + (-1 if forward else 1))
    channels = source[axis]
    if channels is None or index.ndim != 1:
        return "one channel is picked"
    return axis, index % channels, channels


def _gathered(
    affine: ChannelAffine, axis: int, index: Indices, channels: int = 0
) -> ChannelAffine | str:
    """The affine that gives ``affine`` when channels are picked by ``index``."""
    count = channels or int(index.max()) + 1
    scale, shift = np.ones(count), np.zeros(count)
    scale[index], shift[index] = affine.scale, affine.shift
    one = ChannelAffine(axis, scale, shift)
    return (
        one
        if one.at(axis, index).like(affine)
        else "copies of one channel differ in scale or shift"
    )


def _spread_channels(node: ir.Node, channels: int) -> Indices:
    """Which output channel of a DepthToSpace each input channel goes to."""
    block = node.attributes.get_int("blocksize", 1) ** 2
    crd = node.attributes.get_string("mode", "DCR") == "CRD"
    each = np.arange(channels)
    return np.repeat(each, block) if crd else np.tile(each, block)


def _shapes(node: ir.Node) -> tuple[Shape, Shape]:
    return sizes(node.inputs[0]) if node.inputs[0] else None, sizes(node.outputs[0])


def _respread(affine: ChannelAffine, here: Shape, there: Shape) -> ChannelAffine | str:
    """The affine of a value of shape ``here`` as it stands in row-major shape ``there``.

    Axis k of size C, with ``inner`` elements behind it, gives flat element f the channel
    (f // inner) % C. Axis j there, of size A, has ``behind`` elements behind it. When behind divides
    inner and A behind is a multiple of C inner, the channel depends on the index a along j alone:
    (a // (inner / behind)) % C.
    """
    if affine.axis is None:
        return affine
    if here is None or there is None:
        return "the shapes are not known"
    channels, inner = here[affine.axis], static_product(here[affine.axis + 1 :])
    if not channels or not inner:
        return "the sizes from the channel axis on are not fixed"
    for axis, size in enumerate(there):
        behind = static_product(there[axis + 1 :])
        if size is None or not behind or inner % behind or (size * behind) % (channels * inner):
            continue
        index = (np.arange(size) // (inner // behind)) % channels
        scale = np.broadcast_to(affine.scale, channels)[index]
        shift = np.broadcast_to(affine.shift, channels)[index]
        return ChannelAffine(axis, scale, shift)
    return "the reshape mixes channels with other axes"
