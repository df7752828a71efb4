"""Fold every per-channel affine, BatchNorm above all, into the linear operators around it.

1. From the last node to the first, so that affines in a row are composed before anything is rounded.
2. The whole goes back into what feeds it; else forward into all that read it, unless that would cancel.
3. Else the part that can go, goes, and one operator stays: an Add of the shift, or a Mul by the sign.
4. A BatchNorm that finds no linear operator merges with a BatchNorm before it, or stays as it is.

The arithmetic is exact over the reals, done in float64, and rounded once to the weight's type.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from bnexport.passes.graphs.affine import ChannelAffine, is_training, read
from bnexport.passes.graphs.graph import Array, append, array, bypass, operands
from bnexport.passes.graphs.naming import Names, kind_of, module_of
from bnexport.passes.graphs.plan import Plan
from bnexport.passes.graphs.pull import pull
from bnexport.passes.graphs.push import push

__all__ = ["Fate", "FoldBatchNorm"]

LARGEST_MEAN = 16.0  # standard deviations: four bits of the mantissa
LARGEST_SHIFT = 256.0  # where nothing is known of x: (x - 127.5) / 58 on bytes must pass


@dataclass(frozen=True)
class Fate:
    """What became of one affine node: ``absorbed``, ``reduced``, ``merged`` or ``kept``; into what, or why not."""

    value: str
    module: str
    kind: str
    operator: str
    fate: str
    into: str = ""
    reason: str = ""


class FoldBatchNorm(ir.passes.InPlacePass):
    """Fold affines back and forward into Conv, ConvTranspose, Gemm, MatMul and embedding tables.

    Args:
        record: Called with the fate of every BatchNormalization, and of every other affine that was folded.
    """

    def __init__(self, record: Callable[[Fate], None] = lambda fate: None) -> None:
        super().__init__()
        self._record = record

    def requires(self, model: ir.Model) -> None:
        """Refuse a graph whose BatchNorm still trains."""
        for node in ir.traversal.RecursiveGraphIterator(model.graph):
            if node.op_type == "BatchNormalization" and is_training(node):
                where = module_of(node) or node.outputs[0].name
                raise ir.passes.PreconditionError(f"{where}: BatchNormalization in training mode")

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Fold in place, to the fixed point.

        It is reached: a fold removes an affine, or leaves in its place one with less to do, of a shift
        and a scale one of them, of a scale its sign.
        """
        names, modified = Names(model.graph), False
        while self._sweep(model, names):
            modified = True
        return ir.passes.PassResult(model, modified)

    def _sweep(self, model: ir.Model, names: Names) -> bool:
        modified = False
        for node in reversed(list(ir.traversal.RecursiveGraphIterator(model.graph))):
            if node.graph is None:  # composed with one behind it
                continue
            match read(node):
                case None:
                    pass
                case str(obstacle):
                    self._keep(node, obstacle)
                case index, affine:
                    modified |= self._fold(node, index, affine, names)
        return modified

    def _fold(self, node: ir.Node, index: int, affine: ChannelAffine, names: Names) -> bool:
        source, result = node.inputs[index], node.outputs[0]
        if source is None:
            raise ValueError(f"{node.name} has no input {index}")
        back = push(source, affine, node)
        if isinstance(back, Plan):
            return self._carry_out(back, node, index, names)
        onward = pull(result, affine) if is_steady(node, affine) else "its mean is too far from 0"
        if isinstance(onward, Plan):
            return self._carry_out(onward, node, index, names)
        for op, left, plan in _in_part(node, source, result, affine):
            if isinstance(plan, Plan) and plan.absorbers:
                stays = f"one {op} stays: {back}; {onward}"
                return self._carry_out(plan, node, index, names, stays, (op, left, affine.axis))
        self._keep(node, f"{back}; {onward}")
        return False

    def _carry_out(
        self,
        plan: Plan,
        node: ir.Node,
        index: int,
        names: Names,
        reason: str = "",
        left: tuple[str, Array, int | None] | None = None,
    ) -> bool:
        into = ", ".join(dict.fromkeys(map(_place, plan.absorbers)))
        merged = any(absorber.op_type == "BatchNormalization" for absorber in plan.absorbers)
        fate = "reduced" if left is not None else "merged" if merged else "absorbed"
        for folded in (node, *plan.composed):
            self._record(_fate(folded, fate, into, reason))
        for edit in plan.edits:
            edit(names)
        if left is not None:
            op, vector, axis = left
            append(op, node, vector, axis, names)
        bypass(node, index)
        return True

    def _keep(self, node: ir.Node, reason: str) -> None:
        if node.op_type == "BatchNormalization":
            self._record(_fate(node, "kept", reason=reason))


def _fate(node: ir.Node, fate: str, into: str = "", reason: str = "") -> Fate:
    value = node.outputs[0].name or ""
    return Fate(value, module_of(node), kind_of(node), node.op_type, fate, into, reason)


def _place(node: ir.Node) -> str:
    return module_of(node) or node.outputs[0].name or node.op_type


def _in_part(
    node: ir.Node, source: ir.Value, result: ir.Value, affine: ChannelAffine
) -> Iterator[tuple[str, Array, Plan | str]]:
    """What can go where all cannot: the operator and the vector that stay, and the plan for the rest."""
    if not affine.scales:
        return
    if affine.shifts:
        yield "Add", affine.shift, push(source, affine.scaling, node)
        if bool(np.all(affine.scale != 0)) and not _activated(result):  # s x + t = s (x + t / s)
            yield "Add", affine.shift / affine.scale, pull(result, affine.scaling)
    if affine.shifts or node.op_type == "BatchNormalization":
        sign = np.sign(affine.scale)
        if bool(np.any(sign < 0)):  # s x + t = sign (|s| x + sign t)
            rest = ChannelAffine(affine.axis, np.abs(affine.scale), sign * affine.shift)
            yield "Mul", np.where(sign == 0, 1.0, sign), push(source, rest, node)


def _activated(value: ir.Value) -> bool:
    """Whether a Relu reads it: ONNX Runtime runs BatchNorm and Relu as one blocked convolution.

    Add and Relu are two steps outside that layout: ResNetV2-50 took 1.02 times (batch 1) and 1.04 times
    (batch 8) the processor time with 15 Adds in the place of 15 BatchNorms (ONNX Runtime 1.32.0, one thread).
    """
    return any(reader.op_type in ("Relu", "LeakyRelu", "PRelu") for reader in value.consumers())


def is_steady(node: ir.Node, affine: ChannelAffine) -> bool:
    """Whether W (s x + t) = (W s) x + W t loses nothing: not where both terms are large and cancel.

    A BatchNorm says what x is like: its mean, in standard deviations, is what is lost.
    """
    if node.op_type == "BatchNormalization":
        mean, var = (array(value) for value in operands(node)[3:5])
        epsilon = node.attributes.get_float("epsilon", 1e-5)
        return bool(np.all(np.abs(mean) <= LARGEST_MEAN * np.sqrt(var + epsilon)))
    return bool(np.all(np.abs(affine.shift) <= LARGEST_SHIFT * np.abs(affine.scale)))
