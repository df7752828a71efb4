"""In part: what of an affine can go where all of it cannot, and the one operator that stays.

s x + t = (s x) + t              the scale goes back, an Add stays
= s (x + t / s)          the scale goes forward, an Add stays
= sign (|s| x + sign t)  back through a MaxPool or Relu, a Mul by the sign stays
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from bnexport.passes.graphs.affine import ChannelAffine
from bnexport.passes.graphs.graph import Array
from bnexport.passes.graphs.plan import Plan
from bnexport.passes.graphs.pull import pull
from bnexport.passes.graphs.push import Order, push

__all__ = ["Left", "apart", "in_part"]


@dataclass(frozen=True)
class Left:
    """What stays: an Add or Mul by ``vector`` along ``axis``."""

    operator: str
    vector: Array
    axis: int | None


def apart(node: ir.Node, index: int, affine: ChannelAffine, order: Order) -> Plan | str:
    """The shift back, where other readers of what feeds it may take up the inverse, and the scale forward.

    No scale may be zero.

    So the stream of a pre-activation ResNet is shifted once and for all, by the biases of what adds to it.
    """
    shift = ChannelAffine(affine.axis, np.ones_like(affine.scale), affine.shift / affine.scale)
    back = push(node, index, shift, order, undo=True)
    if isinstance(back, str):
        return back
    onward = pull(node.outputs[0], affine.scaling, order)
    return onward if isinstance(onward, str) else back.beside(onward)


def in_part(
    node: ir.Node, index: int, affine: ChannelAffine, order: Order
) -> Iterator[tuple[Left, Plan]]:
    """Every way to leave one operator that has a linear operator to go into, the best first."""
    if node.outputs[0].shape is None:
        return  # the operator that stays could not be typed
    for operator, vector, plan in _ways(node, index, affine, order):
        if isinstance(plan, Plan) and plan.absorbers and plan.adds <= len(plan.composed):
            yield Left(operator, vector, affine.axis), plan


def _ways(
    node: ir.Node, index: int, affine: ChannelAffine, order: Order
) -> Iterator[tuple[str, Array, Plan | str]]:
    if affine.shifts:
        yield "Add", affine.shift, push(node, index, affine.scaling, order)
        if bool(np.all(affine.scale != 0)) and not _activated(node.outputs[0]):
            ahead = affine.shift / affine.scale
            yield "Add", ahead, pull(node.outputs[0], affine.scaling, order)
    if affine.shifts or node.op_type == "BatchNormalization":
        sign = np.where(affine.scale < 0, -1.0, 1.0)
        if bool(np.any(sign < 0)):
            rest = ChannelAffine(affine.axis, np.abs(affine.scale), sign * affine.shift)
            yield "Mul", sign, push(node, index, rest, order)


def _activated(value: ir.Value) -> bool:
    """Whether a Relu reads it: ONNX Runtime runs BatchNorm and Relu as one blocked convolution.

    Add and Relu are two steps outside that layout: ResNetV2-50 took 1.02 times (batch 1) and 1.04 times
    (batch 8) the processor time with 15 Adds in the place of 15 BatchNorms (ONNX Runtime 1.32.0, one thread).
    """
    return any(reader.op_type in ("Relu", "LeakyRelu", "PRelu") for reader in value.consumers())
