"""Einsum with one constant of two operands: a MatMul along named axes.

y_o = sum x_i w_j:   s_e y_..e.. = sum x_i (s_e w_..e..)           where e is a label of w and of y
sum (s_d x_..d.. + t_d) w = sum x (s_d w_..d..) + sum t_d w
"""

from __future__ import annotations

import onnx_ir as ir

from bnexport.passes.graphs.affine import ChannelAffine
from bnexport.passes.graphs.graph import Array, array, is_constant, sizes
from bnexport.passes.graphs.plan import Absorbed, Constants

__all__ = ["absorb", "absorb_forward"]

UNKNOWN = "the Einsum is not a product with one constant"
OTHER_AXIS = "it runs along an axis of the Einsum that its constant does not have"


def absorb(node: ir.Node, affine: ChannelAffine) -> Constants | str:
    """The constant takes a scale of the output along a label that it has."""
    side = 1 if is_constant(node.inputs[-1]) else 0
    parsed = _parse(node, side)
    if parsed is None:
        return UNKNOWN
    if affine.shifts and not affine.scales:
        return "an Einsum has no bias to take the shift"
    labels, _, result = parsed
    scaled = _along(node, side, labels, result, affine)
    return OTHER_AXIS if scaled is None else {side: scaled}


def absorb_forward(node: ir.Node, index: int, affine: ChannelAffine) -> Absorbed:
    """The constant takes a scale of the other operand; a shift becomes one along one label, or none."""
    side = 1 - index
    parsed = _parse(node, side)
    if parsed is None:
        return UNKNOWN
    labels, given, result = parsed
    scaled = _along(node, side, labels, given, affine)
    if scaled is None:
        return OTHER_AXIS
    if not affine.shifts:
        return {side: scaled}, None
    if not affine.scales:
        return "the Einsum behind it has no bias to take the shift"
    left = [label for label in labels if label in result]
    if not set(given) <= {*labels, *result} or len(left) != 1:
        return "its shift would not be one number a channel behind the Einsum"
    if not _summed_in_full(node, index, labels, given):
        return "the Einsum behind it broadcasts its constant"
    shifted = _spread(affine.shift, labels, given, affine) * array(_constant(node, side))
    axes = tuple(axis for axis, label in enumerate(labels) if label not in result)
    return {side: scaled}, (result.index(left[0]), shifted.sum(axes))


def _summed_in_full(node: ir.Node, index: int, labels: str, given: str) -> bool:
    """Whether the constant has every number that is summed: one of size 1 stands for as many as the other has."""
    source, constant = node.inputs[index], array(_constant(node, 1 - index)).shape
    shape = sizes(source) if source is not None else None
    if shape is None:
        return False
    return all(
        shape[given.index(label)] == size
        for label, size in zip(labels, constant, strict=True)
        if label in given
    )


def _parse(node: ir.Node, side: int) -> tuple[str, str, str] | None:
    """The labels of the constant, of the other operand and of the result."""
    terms, _, result = node.attributes.get_string("equation", "").replace(" ", "").partition("->")
    if len(node.inputs) != 2 or not is_constant(node.inputs[side]):
        return None
    operands = terms.split(",")
    if any(not term.isalpha() or len(set(term)) < len(term) for term in (*operands, result)):
        return None  # an ellipsis, a diagonal, or a result that is not spelled out
    return operands[side], operands[1 - side], result


def _along(
    node: ir.Node, side: int, labels: str, where: str, affine: ChannelAffine
) -> Array | None:
    """The constant, scaled along the label that ``affine`` runs along in ``where``."""
    numbers = array(_constant(node, side))
    if affine.axis is None:
        return numbers * affine.scale.reshape([1] * numbers.ndim)
    label = where[affine.axis]
    if label not in labels:
        return None
    return numbers * _spread(affine.scale, labels, where, affine)


def _spread(vector: Array, labels: str, where: str, affine: ChannelAffine) -> Array:
    if affine.axis is None:
        return vector.reshape([1] * len(labels))
    label = where[affine.axis]
    return vector.reshape([-1 if each == label else 1 for each in labels])


def _constant(node: ir.Node, side: int) -> ir.Value:
    value = node.inputs[side]
    if value is None:
        raise ValueError("an operand of the Einsum is missing")
    return value
