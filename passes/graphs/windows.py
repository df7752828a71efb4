"""Move: operators that look at several elements of one channel: pooling, padding, resizing, reducing.

average pooling      weights sum to 1: exact where no padding is counted
MaxPool, ReduceMax   needs scale >= 0; any shift
Resize               the weights of every output sum to 1
Pad                  copied borders pass everything; zeros that are padded in take no shift
ReduceSum            a shift is summed too
Slice                along other axes
"""

from __future__ import annotations

import math

import numpy as np
import onnx_ir as ir

from bnexport.passes.graphs.affine import ChannelAffine
from bnexport.passes.graphs.graph import array, integers, is_constant, is_read, sizes

__all__ = [
    "average_pool",
    "global_average",
    "grid_sample",
    "max_pool",
    "pad",
    "reduce_max",
    "reduce_mean",
    "reduce_mean_forward",
    "reduce_sum",
    "resize",
    "slices",
]


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
    if bool(np.any(affine.scale < 0)):
        return "a negative scale turns the maximum into a minimum"
    return affine


def reduce_mean(node: ir.Node, affine: ChannelAffine) -> ChannelAffine | str:
    """Over other axes than the affine's, which is counted in the result."""
    axes = _reduced(node)
    if affine.axis is None or axes is None:
        return affine if affine.axis is None else "the reduced axes are not known"
    if node.attributes.get_int("keepdims", 1):
        axis = affine.axis
    else:
        source = sizes(node.inputs[0]) if node.inputs[0] else None
        axis = [a for a in range(len(source or ())) if a not in axes][affine.axis]
    return "it runs along a reduced axis" if axis in axes else affine.on(axis)


def reduce_mean_forward(node: ir.Node, affine: ChannelAffine) -> ChannelAffine | str:
    """Over other axes than the affine's, which is counted in the input."""
    axes = _reduced(node)
    if affine.axis is None or axes is None:
        return affine if affine.axis is None else "the reduced axes are not known"
    if affine.axis in axes:
        return "it runs along a reduced axis"
    if node.attributes.get_int("keepdims", 1):
        return affine
    return affine.on(affine.axis - sum(axis < affine.axis for axis in axes))


def reduce_max(node: ir.Node, affine: ChannelAffine) -> ChannelAffine | str:
    """As MaxPool."""
    if bool(np.any(affine.scale < 0)):
        return "a negative scale turns the maximum into a minimum"
    return reduce_mean(node, affine)


def reduce_sum(node: ir.Node, affine: ChannelAffine) -> ChannelAffine | str:
    """The shift is spread over the n terms: s sum(x) + t = sum(s x + t / n)."""
    axes = _reduced(node)
    source = sizes(node.inputs[0]) if node.inputs[0] else None
    if not affine.shifts:
        return reduce_mean(node, affine)
    if axes is None or source is None or any(not source[axis] for axis in axes):
        return "a shift does not pass a sum over a free axis"
    count = math.prod(source[axis] or 0 for axis in axes)
    return reduce_mean(node, ChannelAffine(affine.axis, affine.scale, affine.shift / count))


def slices(node: ir.Node, affine: ChannelAffine) -> ChannelAffine | str:
    """A crop along other axes keeps each channel whole."""
    if affine.axis is None:
        return affine
    source = sizes(node.inputs[0]) if node.inputs[0] else None
    axes = integers(node, 3, "axes")
    if source is None or axes is None:
        return "the sliced axes are not known"
    cut = {axis % len(source) for axis in axes}
    return "the channels themselves are sliced" if affine.axis in cut else affine


def pad(node: ir.Node, affine: ChannelAffine) -> ChannelAffine | str:
    """Copied borders pass everything; zeros pass a scale alone."""
    source = sizes(node.inputs[0]) if node.inputs[0] else None
    amounts = integers(node, 1, "pads")
    named = len(node.inputs) > 3 and node.inputs[3] is not None
    if source is None or amounts is None or named:
        return "the padding is not known"
    if node.attributes.get_float("value", 0.0) != 0:  # before opset 11
        return "the padded value is not 0"
    if affine.axis is not None and (amounts[affine.axis] or amounts[affine.axis + len(source)]):
        return "the channels themselves are padded"
    if node.attributes.get_string("mode", "constant") != "constant":
        return affine
    value = node.inputs[2] if len(node.inputs) > 2 else None
    if value is not None and not (is_constant(value) and not np.any(array(value))):
        return "the padded value is not 0"
    return "zeros that are padded in take no shift" if affine.shifts else affine


def resize(node: ir.Node, affine: ChannelAffine) -> ChannelAffine | str:
    """Nearest, linear and cubic interpolation: the weights of every output sum to 1."""
    if affine.axis not in (None, 1):
        return "it runs along a resized axis"
    source, result = (
        sizes(value) if value else None for value in (node.inputs[0], node.outputs[0])
    )
    if source is None or result is None or source[1] is None or source[1] != result[1]:
        return "the channels themselves are resized"
    crop = "tf_crop_and_resize"
    if node.attributes.get_string("coordinate_transformation_mode", "half_pixel") == crop:
        return "the Resize extrapolates"
    return affine


def grid_sample(node: ir.Node, affine: ChannelAffine) -> ChannelAffine | str:
    """Interpolation at given places; outside the picture there may be zeros."""
    if affine.axis not in (None, 1):
        return "it runs along a sampled axis"
    if affine.shifts and node.attributes.get_string("padding_mode", "zeros") == "zeros":
        return "GridSample pads with zeros, which take no shift"
    return affine


def _reduced(node: ir.Node) -> set[int] | None:
    """The axes that are reduced; None where they are not known, or none is named, which may mean all."""
    source = sizes(node.inputs[0]) if node.inputs[0] else None
    axes = integers(node, 1, "axes")
    if source is None or not axes:
        return None
    return {axis % len(source) for axis in axes}


def _auto_pads(node: ir.Node) -> bool:
    return node.attributes.get_string("auto_pad", "NOTSET") not in ("NOTSET", "VALID")
