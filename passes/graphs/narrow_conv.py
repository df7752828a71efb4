"""A Conv over channels that are affine copies of one channel needs only that channel.

    W * (s x + t) + b = (sum over c of W_c s_c) * x + (sum over c, k of W_ck t_c) + b,   x of one channel

So a grey picture that is expanded to three channels, normalised each for itself, meets the Conv as it is. A
Conv that pads with zeros takes the scale alone, for its border is not affine in t.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from bnexport.passes.graphs.affine import ChannelAffine, elementwise, read
from bnexport.passes.graphs.contract import GraphPass
from bnexport.passes.graphs.graph import array, integers, is_constant, operands, same_size, sizes
from bnexport.passes.graphs.linear import fixed, vector
from bnexport.passes.graphs.linear_forward import pads
from bnexport.passes.graphs.naming import Names
from bnexport.passes.graphs.plan import Plan, absorbed
from bnexport.passes.graphs.traverse import every_node

__all__ = ["NarrowConv"]


class NarrowConv(GraphPass):
    """Let a Conv read the one channel behind what widens it: Expand, Concat with itself, x * c, x + c."""

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Narrow in place."""
        names, modified = Names(model.graph), False
        for node in list(every_node(model.graph)):
            if node.op_type == "Conv" and not node.domain:
                modified |= _narrow(node, names)
        return ir.passes.PassResult(model, modified)


def _narrow(conv: ir.Node, names: Names) -> bool:
    weight, bias = conv.inputs[1], conv.inputs[2] if len(conv.inputs) > 2 else None
    if conv.attributes.get_int("group", 1) != 1 or weight is None or fixed(weight, bias):
        return False
    found = _one_channel(conv)
    if found is None:
        return False
    w = array(weight)  # which may be large, and hardly ever comes to this
    vectors = found[1].along(1, w.shape[1])
    if vectors is None:
        return False
    s, t = (v.reshape(1, -1, *[1] * (w.ndim - 2)) for v in vectors)
    if np.any(t) and pads(conv):
        return False
    added = (w * t).sum(axis=tuple(range(1, w.ndim)))
    new = {1: (w * s).sum(axis=1, keepdims=True), 2: vector(bias) + added}
    plan = absorbed(conv, new)
    if not isinstance(plan, Plan):
        return False
    for edit in plan.edits:
        edit(names)
    conv.replace_input_with(0, found[0])
    return True


def _one_channel(conv: ir.Node) -> tuple[ir.Value, ChannelAffine] | None:
    """The value of one channel that the Conv's input is made of, and how."""
    value, total = conv.inputs[0], ChannelAffine.identity()
    while value is not None:
        node = value.producer()
        if node is None or node.graph is not conv.graph:
            return None
        if widened := _widened(node):
            source, affine = widened
            both = total.after(affine)
            return (source, both) if both else None
        inner = read(node)
        if inner is None or isinstance(inner, str):
            return None
        both = total.after(inner[1])
        if both is None:
            return None
        value, total = node.inputs[inner[0]], both
    return None


def _widened(node: ir.Node) -> tuple[ir.Value, ChannelAffine] | None:
    """The value whose one channel ``node`` makes several of, each an affine of it."""
    result = node.outputs[0].shape
    if node.domain or result is None:
        return None
    source = next((v for v in node.inputs if v is not None and not is_constant(v)), None)
    shape = sizes(source) if source is not None else None
    if source is None or source.shape is None or shape is None or len(shape) != len(result):
        return None
    others = [axis for axis in range(len(shape)) if axis != 1]
    repeats = integers(node, 1) if node.op_type == "Tile" else None
    same = [
        repeats[axis] == 1 if repeats else same_size(source.shape[axis], result[axis])
        for axis in others
    ]
    if shape[1] != 1 or not all(same):
        return None
    if node.op_type in ("Expand", "Tile"):
        return source, ChannelAffine.identity()
    if node.op_type == "Concat":
        return (source, ChannelAffine.identity()) if len(set(operands(node))) == 1 else None
    found = elementwise(node, widens=1)
    return (source, found[1]) if found else None
