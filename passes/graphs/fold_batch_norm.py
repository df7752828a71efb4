"""Fold every per-channel affine, BatchNorm above all, into the linear operators that feed it.

1. From the last node to the first, so that affines in a row are composed before anything is rounded.
2. The whole affine is pushed back; where the shift alone is in the way, the scale goes and one Add stays.
3. A BatchNorm that finds no linear operator merges with a BatchNorm before it, or stays as it is.

The arithmetic is exact over the reals, done in float64, and rounded once to the weight's type.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import onnx_ir as ir

from bnexport.passes.graphs.affine import ChannelAffine, is_training, read
from bnexport.passes.graphs.graph import append_add, bypass, replace
from bnexport.passes.graphs.naming import Names, kind_of, module_of
from bnexport.passes.graphs.push import Plan, push

__all__ = ["Fate", "FoldBatchNorm"]


@dataclass(frozen=True)
class Fate:
    """What became of one affine node: ``absorbed``, ``merged`` or ``kept``; into what, or why not."""

    value: str
    module: str
    kind: str
    operator: str
    fate: str
    into: str = ""
    reason: str = ""


class FoldBatchNorm(ir.passes.InPlacePass):
    """Push affines back into Conv, ConvTranspose, Gemm, MatMul and embedding tables.

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
        """Fold in place, to the fixed point: each sweep that changes something leaves fewer nodes or scales."""
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
        source = node.inputs[index]
        if source is None:
            raise ValueError(f"{node.name} has no input {index}")
        plan = push(source, affine, node)
        if isinstance(plan, Plan):
            self._carry_out(plan, node, names)
            bypass(node, index)
            return True
        scale = push(source, affine.scaling, node) if affine.scales and affine.shifts else plan
        if isinstance(scale, Plan):
            self._carry_out(scale, node, names, f"the shift stays as one Add: {plan}")
            _leave_shift(node, index, affine, names)
            return True
        self._keep(node, plan)
        return False

    def _carry_out(self, plan: Plan, node: ir.Node, names: Names, reason: str = "") -> None:
        into = ", ".join(dict.fromkeys(map(_place, plan.absorbers)))
        merged = any(absorber.op_type == "BatchNormalization" for absorber in plan.absorbers)
        for folded in (node, *plan.composed):
            self._record(_fate(folded, "merged" if merged else "absorbed", into, reason))
        for edit in plan.edits:
            edit(names)

    def _keep(self, node: ir.Node, reason: str) -> None:
        if node.op_type == "BatchNormalization":
            self._record(_fate(node, "kept", reason=reason))


def _fate(node: ir.Node, fate: str, into: str = "", reason: str = "") -> Fate:
    value = node.outputs[0].name or ""
    return Fate(value, module_of(node), kind_of(node), node.op_type, fate, into, reason)


def _place(node: ir.Node) -> str:
    return module_of(node) or node.outputs[0].name or node.op_type


def _leave_shift(node: ir.Node, index: int, affine: ChannelAffine, names: Names) -> None:
    """Put one Add in the place of ``node``: its scale has gone."""
    stand_in = ir.node("Identity", [node.inputs[index]])
    replace(node, stand_in)
    append_add(stand_in, affine.shift, affine.axis, names)
    bypass(stand_in, 0)
