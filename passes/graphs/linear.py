"""Absorb: the linear operators that take an affine of their output into their own weights.

    Conv, ConvTranspose:  s (W * x + b) + t = (s W) * x + (s b + t),   s along the output channels
    Gemm:                 s (alpha A B + beta C) + t = A (s alpha B) + (s beta C + t)
    MatMul:               s (x W) + t = x (s W) + t   (it has no bias: the shift becomes an Add behind it)
    Gather:               s T[i] + t = (s T + t)[i]
    BatchNormalization:   s (g n + b) + t = (s g) n + (s b + t)
    InstanceNormalization, LayerNormalization:  as BatchNormalization
    Einsum:               as MatMul, along a label of the constant (`einsum`)

Each rule returns the new constants by input index, or the sentence that says why it cannot.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx_ir as ir

from bnexport.passes.graphs import einsum
from bnexport.passes.graphs.affine import ChannelAffine, is_training
from bnexport.passes.graphs.graph import Array, array, is_constant, sizes
from bnexport.passes.graphs.plan import Constants
from bnexport.passes.graphs.scaled import scaled

__all__ = ["ABSORB", "WITHOUT_BIAS", "fixed", "present", "vector"]

WITHOUT_BIAS = ("Einsum", "MatMul")
OTHER_AXIS = "it runs along another axis than the output channels"


def conv(node: ir.Node, affine: ChannelAffine) -> Constants | str:
    """The weight is (M, C/group, k...); s scales its first axis."""
    weight, bias = node.inputs[1], _optional(node, 2)
    if obstacle := fixed(weight, bias):
        return obstacle
    shape = shape_of(present(weight))
    vectors = affine.along(1, shape[0])
    if vectors is None:
        return OTHER_AXIS
    s, t = vectors
    return {1: scaled(present(weight), _columns(s, len(shape))), 2: s * vector(bias) + t}


def conv_transpose(node: ir.Node, affine: ChannelAffine) -> Constants | str:
    """The weight is (C, M/group, k...); output channel g * M/group + m is w[g's rows, m]."""
    weight, bias = node.inputs[1], _optional(node, 2)
    if obstacle := fixed(weight, bias):
        return obstacle
    w = array(present(weight))
    groups = node.attributes.get_int("group", 1)
    vectors = affine.along(1, w.shape[1] * groups)
    if vectors is None:
        return OTHER_AXIS
    s, t = vectors
    by_group = w.reshape(groups, w.shape[0] // groups, *w.shape[1:])
    scaled = by_group * s.reshape(groups, 1, w.shape[1], *[1] * (w.ndim - 2))
    return {1: scaled.reshape(w.shape), 2: s * vector(bias) + t}


def gemm(node: ir.Node, affine: ChannelAffine) -> Constants | str:
    """B is (K, N), or (N, K) with transB; alpha and beta stay as they are."""
    weight, bias = node.inputs[1], _optional(node, 2)
    if obstacle := fixed(weight, bias):
        return obstacle
    columns = 0 if node.attributes.get_int("transB", 0) else 1
    vectors = affine.along(1, shape_of(present(weight))[columns])
    if vectors is None:
        return OTHER_AXIS
    s, t = vectors
    factor = s[:, None] if columns == 0 else s[None, :]
    new: Constants = {1: scaled(present(weight), factor)}
    beta = node.attributes.get_float("beta", 1.0)
    if beta == 0.0:
        return "its beta is 0, so its bias cannot carry the shift"
    b = array(bias) if bias is not None else np.zeros(1)
    new[2] = s * b + t / beta
    return new


def matmul(node: ir.Node, affine: ChannelAffine) -> Constants | str:
    """One constant side: a right one takes a scale of the last axis, a left one of the last but one."""
    if affine.shifts and not affine.scales:
        return "a MatMul has no bias to take the shift"
    shape = sizes(node.outputs[0])
    left, right = node.inputs
    if shape is None:
        return "the rank of its output is not known"
    if is_constant(right):
        w = array(present(right))
        side, axis, width = 1, len(shape) - 1, w.shape[-1]
        per_column = w.ndim > 1
    elif is_constant(left):
        if len(sizes(present(right)) or ()) < 2:
            return "the other side of the MatMul is a vector, or of unknown rank"
        w = array(present(left))
        side, axis, width = 0, len(shape) - 2, w.shape[-2] if w.ndim > 1 else 0
        per_column = False
    else:
        return "neither side of the MatMul is constant"
    if w.ndim < 2:
        return "its constant is a vector"
    vectors = affine.along(axis, width)
    if vectors is None:
        return OTHER_AXIS
    s = vectors[0]
    return {side: w * (s if per_column else s[:, None])}


def gather(node: ir.Node, affine: ChannelAffine) -> Constants | str:
    """An embedding table (rows, C...): only rows are picked, so each keeps its columns."""
    table, indices = node.inputs[0], node.inputs[1]
    if not is_constant(table):
        return "the table is not constant"
    if node.attributes.get_int("axis", 0) != 0:
        return "it does not pick rows"
    shape, w = sizes(present(indices)), array(present(table))
    if shape is None:
        return "the rank of its indices is not known"
    if affine.axis is None:
        return {0: w * affine.scale + affine.shift}
    axis = affine.axis - len(shape) + 1
    if axis < 1:
        return OTHER_AXIS
    vectors = affine.along(affine.axis, w.shape[axis])
    if vectors is None:
        return OTHER_AXIS
    s, t = (v.reshape(-1, *[1] * (w.ndim - axis - 1)) for v in vectors)
    return {0: w * s + t}


def batch_norm(node: ir.Node, affine: ChannelAffine) -> Constants | str:
    """Another BatchNorm behind it: gamma and beta take it up, the statistics stay."""
    if is_training(node):
        return "it normalises with the batch's own statistics"
    _, gamma, beta, *_ = node.inputs
    if obstacle := fixed(gamma, beta):
        return obstacle
    g, b = array(present(gamma)), array(present(beta))
    vectors = affine.along(1, len(g))
    if vectors is None:
        return OTHER_AXIS
    s, t = vectors
    return {1: s * g, 2: s * b + t}


def normalised(node: ir.Node, affine: ChannelAffine) -> Constants | str:
    """InstanceNormalization and LayerNormalization end in an affine of their own: along axis 1, or the last."""
    scale, bias = node.inputs[1], _optional(node, 2)
    if obstacle := fixed(scale, bias):
        return obstacle
    g, shape = array(present(scale)), sizes(node.outputs[0])
    if g.ndim != 1 or shape is None:
        return "it normalises over several axes"
    vectors = affine.along(1 if node.op_type.startswith("Instance") else len(shape) - 1, len(g))
    if vectors is None:
        return OTHER_AXIS
    s, t = vectors
    return {1: s * g, 2: s * vector(bias) + t}


ABSORB: dict[str, Callable[[ir.Node, ChannelAffine], Constants | str]] = {
    "BatchNormalization": batch_norm,
    "Conv": conv,
    "ConvTranspose": conv_transpose,
    "Einsum": einsum.absorb,
    "Gather": gather,
    "Gemm": gemm,
    "InstanceNormalization": normalised,
    "LayerNormalization": normalised,
    "MatMul": matmul,
}


def shape_of(weight: ir.Value) -> tuple[int, ...]:
    """The shape of a constant, without a look at its numbers."""
    if weight.const_value is None:
        raise ValueError(f"{weight.name} is not a constant")
    return tuple(weight.const_value.shape.numpy())


def _columns(vector: Array, rank: int) -> Array:
    return vector.reshape(-1, *[1] * (rank - 1))


def _optional(node: ir.Node, index: int) -> ir.Value | None:
    return node.inputs[index] if index < len(node.inputs) else None


def present(value: ir.Value | None) -> ir.Value:
    """An operand that the standard requires."""
    if value is None:
        raise ValueError("a required input is missing")
    return value


def vector(bias: ir.Value | None) -> Array:
    """A bias, or the zero that its absence means."""
    return array(bias) if bias is not None else np.zeros(1)


def fixed(weight: ir.Value | None, bias: ir.Value | None) -> str:
    """Why weight and bias cannot be replaced; empty when they can."""
    if not is_constant(weight):
        return "its weight is not constant"
    return "" if bias is None or is_constant(bias) else "its bias is not constant"
