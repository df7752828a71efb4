"""Parts: a reader that takes only some channels of a value has a say only in those.

A value becomes affine where all its readers agree: each channel must be asked for the same scale and shift by
every reader that sees it. A reader that asks for nothing wants its channels as they are.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
import onnx_ir as ir

from bnexport.passes.graphs.affine import ChannelAffine
from bnexport.passes.graphs.graph import Indices, integers, is_read, operands, sizes

__all__ = ["agreed", "concat_axis", "concat_parts", "cut_axis", "cuts", "picked", "widened"]


def agreed(
    value: ir.Value, asked: Sequence[tuple[ir.Node, ChannelAffine]], silent: Sequence[ir.Node]
) -> ChannelAffine | None:
    """What every reader of ``value`` can live with; None where they differ.

    Args:
        value: What is read.
        asked: The readers that need it to become affine, with the affine.
        silent: The readers that need it as it is.
    """
    first = asked[0][1]
    if not silent and all(first.like(affine) for _, affine in asked[1:]):
        return first
    if (first.scales or first.shifts) and not cuts(asked[0][0]) and not all(map(cuts, silent)):
        return None  # two that see every channel
    axis, shape = first.axis, sizes(value)
    channels = shape[axis] if shape is not None and axis is not None else None
    if axis is None or channels is None:
        return None
    unchanged = ChannelAffine(axis, np.ones(channels), np.zeros(channels))
    scale, shift = np.full(channels, np.nan), np.full(channels, np.nan)
    for reader, affine in [*asked, *((reader, unchanged) for reader in silent)]:
        seen = _seen(reader, value, axis)
        vectors = affine.along(axis, channels)
        if vectors is None:
            return None
        for total, wanted in zip((scale, shift), vectors, strict=True):
            if np.any(~np.isnan(total[seen]) & (total[seen] != wanted[seen])):
                return None
            total[seen] = wanted[seen]
    unseen = np.isnan(scale)
    scale[unseen], shift[unseen] = 1, 0
    return ChannelAffine(axis, scale, shift)


def widened(
    node: ir.Node, parts: Sequence[tuple[ir.Value, ChannelAffine]]
) -> ChannelAffine | str | None:
    """The affines of a Slice's or Split's outputs as one of its input; None where channels stay whole."""
    axis = cut_axis(node)
    if axis is None or any(affine.axis not in (None, axis) for _, affine in parts):
        return None
    source = sizes(node.inputs[0]) if node.inputs[0] else None
    unknown = f"the parts of the {node.op_type} before it are not fixed"
    if source is None or source[axis] is None:
        return unknown
    scale, shift = np.ones(source[axis] or 0), np.zeros(source[axis] or 0)
    for output, affine in parts:
        index = picked(node, output, axis)
        vectors = affine.along(axis, len(index)) if index is not None else None
        if index is None or vectors is None:
            return unknown
        scale[index], shift[index] = vectors
    return ChannelAffine(axis, scale, shift)


def concat_axis(node: ir.Node) -> int | None:
    """The axis of a Concat; None where the rank is not known."""
    shape = sizes(node.outputs[0])
    return node.attributes.get_int("axis", 0) % len(shape) if shape else None


def concat_parts(node: ir.Node) -> tuple[int, list[Indices]] | str:
    """The axis of a Concat, and which of its channels come from each operand."""
    axis, shapes = concat_axis(node), [sizes(operand) for operand in operands(node)]
    if axis is None or any(shape is None for shape in shapes):
        return "the rank of the Concat is not known"
    widths = [shape[axis] for shape in shapes if shape is not None]
    if any(width is None for width in widths):
        return "the sizes of the Concat's parts are not fixed"
    ends = [0, *itertools.accumulate(width or 0 for width in widths)]
    channels = np.arange(ends[-1])
    return axis, [channels[start:end] for start, end in itertools.pairwise(ends)]


def cut_axis(node: ir.Node) -> int | None:
    """The one axis along which the node takes parts."""
    if not cuts(node):
        return None
    source = sizes(node.inputs[0]) if node.inputs and node.inputs[0] else None
    if source is None:
        return None
    if node.op_type == "Split":
        return node.attributes.get_int("axis", 0) % len(source)
    axes = integers(node, 3, "axes")
    if axes is None or len(axes) != 1:
        return None
    return axes[0] % len(source)


def cuts(node: ir.Node) -> bool:
    """Whether it takes parts."""
    return node.op_type in ("Slice", "Split") and not node.domain


def picked(node: ir.Node, output: ir.Value, axis: int) -> Indices | None:
    """Which channels of the input ``output`` holds."""
    source = sizes(node.inputs[0]) if node.inputs[0] else None
    if source is None or source[axis] is None:
        return None
    channels = np.arange(source[axis] or 0)
    if node.op_type == "Slice":
        starts, ends = integers(node, 1, "starts"), integers(node, 2, "ends")
        stepped = len(node.inputs) > 4 and node.inputs[4] is not None
        steps = integers(node, 4) if stepped else [1]
        if starts is None or ends is None or steps is None or steps[0] < 1:
            return None  # only forwards does ONNX clamp as Python does
        index = channels[starts[0] : ends[0] : steps[0]]
        return index if len(index) else None
    widths = [(sizes(each) or ())[axis] if sizes(each) else None for each in node.outputs]
    known = [width for width in widths if width is not None]
    if len(known) < len(widths):
        return None
    place = node.outputs.index(output)
    start = sum(known[:place])
    return channels[start : start + known[place]]


def _seen(reader: ir.Node, value: ir.Value, axis: int) -> Indices:
    """Which channels of ``value`` matter to ``reader``."""
    shape = sizes(value) or ()
    everything = np.arange(shape[axis] or 0)
    if cut_axis(reader) != axis:
        return everything
    parts = [picked(reader, output, axis) for output in reader.outputs if is_read(output)]
    known = [part for part in parts if part is not None]
    if len(known) < len(parts):
        return everything
    return np.unique(np.concatenate([everything[:0], *known]))
