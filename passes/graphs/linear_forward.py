"""Absorb forward: the linear operators that take an affine of their input into their own weights.

    Conv, Gemm, MatMul:   W (s x + t) + b = (W s) x + (W t + b),   s and t along the input channels
    ConvTranspose:        W (s x) + b = (W s) x + b
    BatchNormalization:   its mean and gamma take it up
    Einsum:               as MatMul, along a label of the constant (`einsum`)

Where the affine comes to another operand than the first, that operand is no constant, and the rule refuses.

A Conv that pads with zeros takes a scale alone: its border is not affine in t.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx_ir as ir

from bnexport.passes.graphs import einsum
from bnexport.passes.graphs.affine import ChannelAffine, is_training
from bnexport.passes.graphs.graph import array, is_constant, sizes
from bnexport.passes.graphs.linear import fixed, present, vector
from bnexport.passes.graphs.plan import Absorbed

__all__ = ["ABSORB_FORWARD", "pads"]

OTHER_AXIS = "it runs along another axis than the input channels"


def conv(node: ir.Node, index: int, affine: ChannelAffine) -> Absorbed:
    """The weight is (M, C/group, k...); input channel g C/group + j meets w[g's rows, j]."""
    weight, bias = node.inputs[1], node.inputs[2] if len(node.inputs) > 2 else None
    if obstacle := fixed(weight, bias):
        return obstacle
    if affine.shifts and pads(node):
        return "the Conv behind it pads with zeros"
    w, groups = array(present(weight)), node.attributes.get_int("group", 1)
    vectors = affine.along(1, w.shape[1] * groups)
    if vectors is None:
        return OTHER_AXIS
    by_group = w.reshape(groups, w.shape[0] // groups, *w.shape[1:])
    s, t = (v.reshape(groups, 1, w.shape[1], *[1] * (w.ndim - 2)) for v in vectors)
    added = (by_group * t).sum(axis=tuple(range(2, by_group.ndim))).reshape(-1)
    return {1: (by_group * s).reshape(w.shape), 2: vector(bias) + added}, None


def gemm(node: ir.Node, index: int, affine: ChannelAffine) -> Absorbed:
    """A row of A meets B, (K, N) or (N, K) with transB."""
    weight, bias = node.inputs[1], node.inputs[2] if len(node.inputs) > 2 else None
    if bool(node.attributes.get_int("transA", 0)):
        return "the Gemm behind it does not read it by rows"
    if obstacle := fixed(weight, bias):
        return obstacle
    turned = bool(node.attributes.get_int("transB", 0))
    w = array(present(weight)).T if turned else array(present(weight))
    vectors = affine.along(1, w.shape[0])
    if vectors is None:
        return OTHER_AXIS
    s, t = vectors
    alpha, beta = (node.attributes.get_float(name, 1.0) for name in ("alpha", "beta"))
    if beta == 0.0:
        return "the Gemm behind it ignores its bias"
    scaled = w * s[:, None]
    return {1: scaled.T if turned else scaled, 2: vector(bias) + alpha * (t @ w) / beta}, None


def matmul(node: ir.Node, index: int, affine: ChannelAffine) -> Absorbed:
    """One constant side of rank 2: the other's last axis, or last but one, is summed over."""
    if affine.shifts and not affine.scales:
        return "the MatMul behind it has no bias to take the shift"
    shape, other = sizes(node.outputs[0]), node.inputs[1 - index]
    if shape is None or other is None or not is_constant(other):
        return "the MatMul behind it has no constant side"
    w = array(other)
    rank = len(shape)
    if w.ndim != 2 or rank < 2:
        return "the constant of the MatMul behind it is no matrix"
    summed = rank - 1 if index == 0 else rank - 2  # where the result has the constant's other axis
    vectors = affine.along(summed, w.shape[0] if index == 0 else w.shape[1])
    if vectors is None:
        return "it runs along another axis than the MatMul sums over"
    s, t = vectors
    if index == 0:
        return {1: w * s[:, None]}, (summed, t @ w)
    return {0: w * s[None, :]}, (summed, w @ t)


def conv_transpose(node: ir.Node, index: int, affine: ChannelAffine) -> Absorbed:
    """The weight is (C, M/group, k...): a scale alone, for not every output meets every tap."""
    weight, bias = node.inputs[1], node.inputs[2] if len(node.inputs) > 2 else None
    if obstacle := fixed(weight, bias):
        return obstacle
    if affine.shifts:
        return "a shift does not pass the ConvTranspose behind it"
    w = array(present(weight))
    vectors = affine.along(1, w.shape[0])
    if vectors is None:
        return OTHER_AXIS
    return {1: w * vectors[0].reshape(-1, *[1] * (w.ndim - 1))}, None


def batch_norm(node: ir.Node, index: int, affine: ChannelAffine) -> Absorbed:
    """G (s x + t - m) / d + b = (g s) (x - (m - t) / s) / d + b."""
    _, gamma, _, mean, _ = node.inputs
    if is_training(node) or not all(map(is_constant, node.inputs[1:])):
        return "the BatchNormalization behind it cannot take it up"
    if gamma is None or mean is None or bool(np.any(affine.scale == 0)):
        return "a scale of 0 comes before a BatchNormalization"
    g, m = array(gamma), array(mean)
    vectors = affine.along(1, len(g))
    if vectors is None:
        return OTHER_AXIS
    s, t = vectors
    return {1: g * s, 3: (m - t) / s}, None


ABSORB_FORWARD: dict[str, Callable[[ir.Node, int, ChannelAffine], Absorbed]] = {
    "BatchNormalization": batch_norm,
    "Conv": conv,
    "ConvTranspose": conv_transpose,
    "Einsum": einsum.absorb_forward,
    "Gemm": gemm,
    "MatMul": matmul,
}


def pads(node: ir.Node) -> bool:
    """Whether a Conv may read zeros beside its input."""
    if node.attributes.get_string("auto_pad", "NOTSET") not in ("NOTSET", "VALID"):
        weight = sizes(node.inputs[1]) if node.inputs[1] else None
        return weight is None or set(weight[2:]) != {1}
    return any(node.attributes.get_ints("pads", ()))
