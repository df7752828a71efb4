"""Pull an affine forward from a value into the linear operators that read it.

    Conv, Gemm, MatMul:   W (s x + t) + b = (W s) x + (W t + b),   s and t along the input channels

Every reader takes it or none does; what lies between passes it on by the rules of `moves`, turned round.
A Conv that pads with zeros takes a scale alone: its border is not affine in t.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx_ir as ir

from bnexport.passes.graphs.affine import ChannelAffine, read
from bnexport.passes.graphs.graph import append, array, bypass, is_constant, is_read, sizes
from bnexport.passes.graphs.linear import Constants, fixed, vector
from bnexport.passes.graphs.moves import FORWARD
from bnexport.passes.graphs.plan import Plan, absorbed

__all__ = ["pull"]


def pull(value: ir.Value, affine: ChannelAffine) -> Plan | str:
    """Plan that every reader of ``value`` computes as if it read affine(value)."""
    if not affine.scales and not affine.shifts:
        return Plan()
    if value.is_graph_output():
        return "its result is an output of the model"
    readers = [reader for reader, _ in value.uses()]
    if not readers or len(set(readers)) < len(readers):
        return "a node reads it twice" if readers else "nothing reads it"
    total = Plan()
    for reader, index in value.uses():
        plan = _into(reader, index, affine, value)
        if isinstance(plan, str):
            return plan
        both = total.beside(plan)
        if isinstance(both, str):
            return both
        total = both
    return total


def _into(reader: ir.Node, index: int, affine: ChannelAffine, value: ir.Value) -> Plan | str:
    producer = value.producer()
    if producer is not None and reader.graph is not producer.graph:
        return f"the {reader.op_type} behind it lies inside a subgraph"
    if reader.domain not in ("", "ai.onnx"):
        return f"the {reader.domain}:{reader.op_type} behind it is not known"
    reason = f"{reader.op_type} comes behind it, which is not linear"
    for rule in (_compose, _absorb, _move):
        match rule(reader, index, affine):
            case Plan() as plan:
                return plan
            case str(obstacle):
                reason = obstacle
    return reason


def _compose(reader: ir.Node, index: int, affine: ChannelAffine) -> Plan | str | None:
    """With an affine behind it, which is taken along; a BatchNorm takes what is before it anyhow."""
    behind = read(reader)
    if behind is None or isinstance(behind, str) or behind[0] != index:
        return None
    both = behind[1].after(affine)
    if both is None:
        return "another affine stands behind it, along another axis"
    plan = pull(reader.outputs[0], both)
    if isinstance(plan, str):
        return plan
    return plan + Plan((lambda names: bypass(reader, index),), (), (reader,), (reader,))


def _absorb(reader: ir.Node, index: int, affine: ChannelAffine) -> Plan | str | None:
    rule = ABSORB.get(reader.op_type)
    new = rule(reader, index, affine) if rule else None
    if not isinstance(new, tuple):
        return new
    constants, shift = new
    plan = absorbed(reader, constants)
    if isinstance(plan, str) or shift is None or not np.any(shift[1]):
        return plan
    axis, numbers = shift
    return plan + Plan((lambda names: append("Add", reader, numbers, axis, names),))


def _move(reader: ir.Node, index: int, affine: ChannelAffine) -> Plan | str | None:
    rule = FORWARD.get(reader.op_type)
    if rule is None or index != 0 or any(map(is_read, reader.outputs[1:])):
        return None
    moved = rule(reader, affine)
    return moved if isinstance(moved, str) else pull(reader.outputs[0], moved)


Shift = tuple[int, np.ndarray] | None  # what an operator without a bias leaves to an Add behind it
Absorbed = tuple[Constants, Shift] | str


def conv(node: ir.Node, index: int, affine: ChannelAffine) -> Absorbed:
    """The weight is (M, C/group, k...); input channel g C/group + j meets w[g's rows, j]."""
    weight, bias = node.inputs[1], node.inputs[2] if len(node.inputs) > 2 else None
    if index != 0 or weight is None:
        return "it is the weight of a Conv"
    if obstacle := fixed(weight, bias):
        return obstacle
    if affine.shifts and _pads(node):
        return "the Conv behind it pads with zeros"
    w, groups = array(weight), node.attributes.get_int("group", 1)
    vectors = affine.along(1, w.shape[1] * groups)
    if vectors is None:
        return "it runs along another axis than the input channels"
    by_group = w.reshape(groups, w.shape[0] // groups, *w.shape[1:])
    s, t = (v.reshape(groups, 1, w.shape[1], *[1] * (w.ndim - 2)) for v in vectors)
    added = (by_group * t).sum(axis=tuple(range(2, by_group.ndim))).reshape(-1)
    return {1: (by_group * s).reshape(w.shape), 2: vector(bias) + added}, None


def gemm(node: ir.Node, index: int, affine: ChannelAffine) -> Absorbed:
    """A row of A meets B, (K, N) or (N, K) with transB."""
    weight, bias = node.inputs[1], node.inputs[2] if len(node.inputs) > 2 else None
    if index != 0 or weight is None or bool(node.attributes.get_int("transA", 0)):
        return "the Gemm behind it does not read it by rows"
    if obstacle := fixed(weight, bias):
        return obstacle
    turned = bool(node.attributes.get_int("transB", 0))
    w = array(weight).T if turned else array(weight)
    vectors = affine.along(1, w.shape[0])
    if vectors is None:
        return "it runs along another axis than the input channels"
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
    summed, kept = (rank - 1, rank - 1) if index == 0 else (rank - 2, rank - 2)
    vectors = affine.along(summed, w.shape[0] if index == 0 else w.shape[1])
    if vectors is None:
        return "it runs along another axis than the MatMul sums over"
    s, t = vectors
    if index == 0:
        return {1: w * s[:, None]}, (kept, t @ w)
    return {0: w * s[None, :]}, (kept, w @ t)


ABSORB: dict[str, Callable[[ir.Node, int, ChannelAffine], Absorbed]] = {
    "Conv": conv,
    "Gemm": gemm,
    "MatMul": matmul,
}


def _pads(node: ir.Node) -> bool:
    if node.attributes.get_string("auto_pad", "NOTSET") not in ("NOTSET", "VALID"):
        return True
    return any(node.attributes.get_ints("pads", ()))
