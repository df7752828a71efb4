"""Move: what a per-channel affine may pass on its way back to a linear operator.

Each rule answers for one operator: the same affine as it stands at the operator's input, or the sentence
that says why it cannot pass. An operator that passes is left as it is.

    Transpose            the axis is permuted
    Reshape and kin      the vector is repeated or tiled, where row-major order keeps channels apart
    average pooling      weights sum to 1: exact where no padding is counted
    MaxPool              needs scale >= 0; any shift
    Relu, LeakyRelu      needs scale >= 0 and no shift
    Slice, Pad           along other axes; zeros that are padded in take no shift
    DepthToSpace         the vector is repeated or tiled
    Resize               nearest and linear
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx_ir as ir

from bnexport.passes.graphs.affine import ChannelAffine
from bnexport.passes.graphs.graph import integers, is_constant, is_read, sizes, static_product

__all__ = ["FORWARD", "MOVES"]

Shape = tuple[int | None, ...] | None
Move = Callable[[ir.Node, ChannelAffine], "ChannelAffine | str"]


def same(node: ir.Node, affine: ChannelAffine) -> ChannelAffine | str:
    """An operator that does nothing at inference."""
    return affine


def dropout(node: ir.Node, affine: ChannelAffine) -> ChannelAffine | str:
    """Nothing at inference, unless it is told to train."""
    if len(node.inputs) > 2 and node.inputs[2] is not None:
        return "the Dropout may be live"
    return affine


def transpose(node: ir.Node, affine: ChannelAffine) -> ChannelAffine | str:
    """Output axis i is input axis perm[i]."""
    shape = sizes(node.outputs[0])
    if affine.axis is None:
        return affine
    if shape is None:
        return "the rank is not known"
    perm = node.attributes.get_ints("perm", tuple(reversed(range(len(shape)))))
    return affine.on(perm[affine.axis])


def reshape(node: ir.Node, affine: ChannelAffine) -> ChannelAffine | str:
    """Element order does not change."""
    source, result = _shapes(node)
    return _respread(affine, result, source)


def average_pool(node: ir.Node, affine: ChannelAffine) -> ChannelAffine | str:
    """AveragePool: exact where the padding is not counted, or there is none, or there is no shift."""
    if affine.axis not in (None, 1):
        return "it runs along a pooled axis"
    counted = node.attributes.get_int("count_include_pad", 0)
    padded = any(node.attributes.get_ints("pads", ())) or _auto_pads(node)
    if affine.shifts and (counted and padded):
        return "the pooling counts its padding, which takes no shift"
    return affine


def global_average(node: ir.Node, affine: ChannelAffine) -> ChannelAffine | str:
    """The mean of an affine is the affine of the mean."""
    return affine if affine.axis in (None, 1) else "it runs along a pooled axis"


def max_pool(node: ir.Node, affine: ChannelAffine) -> ChannelAffine | str:
    """Max commutes with an increasing map; the padding is -inf, so a shift passes too."""
    if affine.axis not in (None, 1):
        return "it runs along a pooled axis"
    if any(map(is_read, node.outputs[1:])):
        return "the MaxPool's indices are read too"
    if bool(np.any(affine.scale <= 0)):
        return "a negative scale turns the maximum into a minimum"
    return affine


def positive(node: ir.Node, affine: ChannelAffine) -> ChannelAffine | str:
    """f(s x) = s f(x) for s >= 0."""
    if affine.shifts:
        return f"a shift does not pass {node.op_type}"
    if bool(np.any(affine.scale < 0)):
        return f"a negative scale does not pass {node.op_type}"
    return affine


def reduce_mean(node: ir.Node, affine: ChannelAffine) -> ChannelAffine | str:
    """Over other axes than the affine's."""
    if affine.axis is None:
        return affine
    rank = sizes(node.inputs[0]) if node.inputs[0] else None
    axes = integers(node, 1)
    if rank is None or axes is None:
        return "the reduced axes are not known"
    reduced = {axis % len(rank) for axis in axes}
    if not reduced:
        return "no axis is named, which may mean all"
    if node.attributes.get_int("keepdims", 1):
        axis = affine.axis
    else:
        axis = [a for a in range(len(rank)) if a not in reduced][affine.axis]
    return "it runs along a reduced axis" if axis in reduced else affine.on(axis)


def slices(node: ir.Node, affine: ChannelAffine) -> ChannelAffine | str:
    """A crop along other axes keeps each channel whole."""
    if affine.axis is None:
        return affine
    source = sizes(node.inputs[0]) if node.inputs[0] else None
    axes = integers(node, 3)
    if source is None or axes is None:
        return "the sliced axes are not known"
    cut = {axis % len(source) for axis in axes}
    return "the channels themselves are sliced" if affine.axis in cut else affine


def pad(node: ir.Node, affine: ChannelAffine) -> ChannelAffine | str:
    """Copied borders pass everything; zeros pass a scale alone."""
    source = sizes(node.inputs[0]) if node.inputs[0] else None
    amounts = integers(node, 1)
    if source is None or amounts is None or len(node.inputs) > 3:
        return "the padding is not known"
    if affine.axis is not None and (amounts[affine.axis] or amounts[affine.axis + len(source)]):
        return "the channels themselves are padded"
    if node.attributes.get_string("mode", "constant") != "constant":
        return affine
    value = node.inputs[2] if len(node.inputs) > 2 else None
    if value is not None and not (is_constant(value) and _zero(value)):
        return "the padded value is not 0"
    return "zeros that are padded in take no shift" if affine.shifts else affine


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


def depth_to_space(node: ir.Node, affine: ChannelAffine) -> ChannelAffine | str:
    """Output channel c comes from input channels c r^2 + k (CRD) or k C + c (DCR)."""
    if affine.axis is None:
        return affine
    if affine.axis != 1:
        return "it runs along a spatial axis"
    block = node.attributes.get_int("blocksize", 1) ** 2
    spread = np.repeat if node.attributes.get_string("mode", "DCR") == "CRD" else np.tile
    return ChannelAffine(1, spread(affine.scale, block), spread(affine.shift, block))


def resize(node: ir.Node, affine: ChannelAffine) -> ChannelAffine | str:
    """Nearest and linear interpolation: the weights of every output sum to 1."""
    if affine.axis not in (None, 1):
        return "it runs along a resized axis"
    source, result = _shapes(node)
    if source is None or result is None or source[1] is None or source[1] != result[1]:
        return "the channels themselves are resized"
    if node.attributes.get_string("mode", "nearest") not in ("nearest", "linear"):
        return "cubic interpolation comes before it"
    crop = "tf_crop_and_resize"
    if node.attributes.get_string("coordinate_transformation_mode", "half_pixel") == crop:
        return "the Resize extrapolates"
    return affine


MOVES: dict[str, Move] = {
    "AveragePool": average_pool,
    "Cast": cast,
    "DepthToSpace": depth_to_space,
    "Dropout": dropout,
    "Flatten": reshape,
    "GlobalAveragePool": global_average,
    "Identity": same,
    "LeakyRelu": positive,
    "MaxPool": max_pool,
    "PRelu": positive,
    "Pad": pad,
    "ReduceMean": reduce_mean,
    "Relu": positive,
    "Reshape": reshape,
    "Resize": resize,
    "Slice": slices,
    "Squeeze": reshape,
    "Transpose": transpose,
    "Unsqueeze": reshape,
}


def transpose_forward(node: ir.Node, affine: ChannelAffine) -> ChannelAffine | str:
    """Input axis perm[i] is output axis i."""
    shape = sizes(node.outputs[0])
    if affine.axis is None:
        return affine
    if shape is None:
        return "the rank is not known"
    perm = tuple(node.attributes.get_ints("perm", tuple(reversed(range(len(shape))))))
    return affine.on(perm.index(affine.axis))


def reshape_forward(node: ir.Node, affine: ChannelAffine) -> ChannelAffine | str:
    """Element order does not change."""
    source, result = _shapes(node)
    return _respread(affine, source, result)


# An operator that keeps its axes and treats channels alike moves an affine both ways alike.
FORWARD: dict[str, Move] = {
    "AveragePool": average_pool,
    "Cast": cast,
    "Dropout": dropout,
    "Flatten": reshape_forward,
    "GlobalAveragePool": global_average,
    "Identity": same,
    "LeakyRelu": positive,
    "MaxPool": max_pool,
    "PRelu": positive,
    "Pad": pad,
    "Relu": positive,
    "Reshape": reshape_forward,
    "Slice": slices,
    "Squeeze": reshape_forward,
    "Transpose": transpose_forward,
    "Unsqueeze": reshape_forward,
}


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


def _zero(value: ir.Value) -> bool:
    return value.const_value is not None and not np.any(value.const_value.numpy())


def _auto_pads(node: ir.Node) -> bool:
    return node.attributes.get_string("auto_pad", "NOTSET") not in ("NOTSET", "VALID")
