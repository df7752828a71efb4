"""Parts: a Split or Slice of the channels lets an affine widen, by 1 and 0 over the other channels.

A value that is read in parts can take an affine for one reader as long as every other reader sees only
channels which that affine leaves as they are.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from bnexport.passes.graphs.affine import ChannelAffine
from bnexport.passes.graphs.graph import integers, is_read, sizes

__all__ = ["leaves_alone", "part_of"]

Indices = np.ndarray


def part_of(node: ir.Node, output: ir.Value, affine: ChannelAffine) -> ChannelAffine | str | None:
    """The affine of one part, as it stands before the Split or Slice; None where channels stay whole."""
    axis = _cut_axis(node)
    if axis is None or (affine.axis is not None and affine.axis != axis):
        return None
    source = sizes(node.inputs[0]) if node.inputs[0] else None
    picked = _picked(node, output, axis)
    if source is None or source[axis] is None or picked is None:
        return f"the parts of the {node.op_type} before it are not fixed"
    vectors = affine.along(axis, len(picked))
    if vectors is None:
        return None
    scale, shift = np.ones(source[axis] or 0), np.zeros(source[axis] or 0)
    scale[picked], shift[picked] = vectors
    return ChannelAffine(axis, scale, shift)


def leaves_alone(reader: ir.Node, affine: ChannelAffine) -> bool:
    """Whether ``reader`` sees only channels that ``affine`` does not change."""
    axis = _cut_axis(reader)
    if axis is None or axis != affine.axis:
        return False
    seen = [_picked(reader, output, axis) for output in reader.outputs if is_read(output)]
    return all(
        picked is not None
        and bool(np.all(affine.scale[picked] == 1))
        and not np.any(affine.shift[picked])
        for picked in seen
    )


def _cut_axis(node: ir.Node) -> int | None:
    """The one axis along which the node takes parts."""
    source = sizes(node.inputs[0]) if node.inputs and node.inputs[0] else None
    if source is None or node.domain:
        return None
    if node.op_type == "Split":
        return node.attributes.get_int("axis", 0) % len(source)
    if node.op_type != "Slice":
        return None
    axes = integers(node, 3)
    if axes is None or len(axes) != 1:
        return None
    return axes[0] % len(source)


def _picked(node: ir.Node, output: ir.Value, axis: int) -> Indices | None:
    """Which channels of the input ``output`` holds."""
    source = sizes(node.inputs[0]) if node.inputs[0] else None
    if source is None or source[axis] is None:
        return None
    channels = np.arange(source[axis] or 0)
    if node.op_type == "Slice":
        starts, ends = integers(node, 1), integers(node, 2)
        stepped = len(node.inputs) > 4 and node.inputs[4] is not None
        if starts is None or ends is None or (stepped and integers(node, 4) != [1]):
            return None  # only with a step of 1 does ONNX clamp as Python does
        picked = channels[starts[0] : ends[0]]
        return picked if len(picked) else None
    widths = [(sizes(each) or ())[axis] if sizes(each) else None for each in node.outputs]
    place = node.outputs.index(output)
    if any(width is None for width in widths):
        return None
    start = sum(width or 0 for width in widths[:place])
    return channels[start : start + (widths[place] or 0)]
