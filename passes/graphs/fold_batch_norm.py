"""Fold every per-channel affine, BatchNorm above all, into the linear operators around it.

1. From the last node to the first, so that affines in a row are composed before anything is rounded.
2. The whole goes back into what feeds it; else forward into all that read it, unless that would cancel.
3. Else, when it may cost something, back, where other readers of what feeds it can take up the inverse;
4. or taken apart: the shift back, the scale forward; or one of them, and one operator stays (`in_part`).
5. A BatchNorm that finds no linear operator merges with a BatchNorm beside it, or stays as it is.

The arithmetic is exact over the reals, done in float64, and rounded once to the weight's type.
"""

from __future__ import annotations

from collections.abc import Callable

import onnx_ir as ir

from bnexport.passes.graphs.affine import ChannelAffine, can_undo, is_steady, is_training, read
from bnexport.passes.graphs.contract import GraphPass
from bnexport.passes.graphs.fate import Fate, fate_of, place_of
from bnexport.passes.graphs.fused import in_fused
from bnexport.passes.graphs.graph import append, bypass
from bnexport.passes.graphs.in_part import Left, apart, in_part
from bnexport.passes.graphs.naming import Names, module_of
from bnexport.passes.graphs.places import Places, Unplaced
from bnexport.passes.graphs.plan import Plan
from bnexport.passes.graphs.pull import pull
from bnexport.passes.graphs.push import push
from bnexport.passes.graphs.traverse import every_node
from bnexport.passes.graphs.tried import InVain, Tried, around

__all__ = ["FoldBatchNorm"]


class FoldBatchNorm(GraphPass):
    """Fold affines back and forward into Conv, ConvTranspose, Gemm, MatMul and embedding tables.

    Args:
        record: Called with the fate of every BatchNormalization, and of every other affine that was folded.
        partly: Whether it may cost something: another reader takes the inverse, or one operator stays.
        tried: What was tried in vain; its owner forgets it when others change the graph. None: one of its own.
    """

    def __init__(
        self,
        record: Callable[[Fate], None] = lambda fate: None,
        *,
        partly: bool = True,
        tried: Tried | None = None,
    ) -> None:
        super().__init__()
        self._record, self._partly = record, partly
        self._tried, self._alone = tried or Tried(), tried is None

    def requires(self, model: ir.Model) -> None:
        """Refuse a graph whose BatchNorm still trains.

        Raises:
            PreconditionError: As said, or as for every pass.
        """
        super().requires(model)
        for node in every_node(model.graph):
            if node.op_type == "BatchNormalization" and is_training(node):
                where = module_of(node) or node.outputs[0].name
                raise ir.passes.PreconditionError(f"{where}: BatchNormalization in training mode")

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Fold in place, to the fixed point.

        It is reached: a fold removes an affine, or leaves in its place one with less to do, of a shift
        and a scale one of them, of a scale its sign.
        """
        names, modified = Names(model.graph), False
        if self._alone:
            self._tried.forget()
        while self._sweep(model, names):
            modified = True
        return ir.passes.PassResult(model, modified)

    def _sweep(self, model: ir.Model, names: Names) -> bool:
        modified, order = False, Places(model)
        for node in reversed(list(order)):
            if node.graph is None or self._in_vain(node) or in_fused(node):
                continue  # composed with one behind it, tried, or better whole
            match read(node):
                case None:
                    pass
                case str(obstacle):
                    self._keep(node, obstacle)
                case index, affine:
                    try:
                        folded = self._fold(node, index, affine, order, names)
                    except Unplaced:  # a node that an earlier fold put there
                        order.renew(model)
                        folded = self._fold(node, index, affine, order, names)
                    modified |= folded
        return modified

    def _fold(
        self, node: ir.Node, index: int, affine: ChannelAffine, order: Places, names: Names
    ) -> bool:
        known = self._tried.of(node)
        order.seen = set()
        back: Plan | str = known.back if known else _paying(push(node, index, affine, order))
        if isinstance(back, Plan):
            return self._carry_out(back, node, index, names)
        onward: Plan | str = known.onward if known else "its mean is too far from 0"
        if not known and is_steady(node, affine):
            onward = _paying(pull(node.outputs[0], affine, order))
        if isinstance(onward, str) and self._partly and can_undo(node):
            for other in (_undoing, apart):
                plan = _paying(other(node, index, affine, order))
                if isinstance(plan, Plan):
                    onward = plan
                    break
        if isinstance(onward, Plan):
            return self._carry_out(onward, node, index, names)
        for left, plan in in_part(node, index, affine, order) if self._partly else ():
            stays = f"one {left.operator} stays: {back}; {onward}"
            return self._carry_out(plan, node, index, names, stays, left)
        self._keep(node, f"{back}; {onward}")
        self._tried.add(node, InVain(back, onward, self._partly), order.seen)
        return False

    def _in_vain(self, node: ir.Node) -> bool:
        """Whether all that would be tried was tried."""
        known = self._tried.of(node)
        return known is not None and (known.partly or not self._partly)

    def _carry_out(
        self,
        plan: Plan,
        node: ir.Node,
        index: int,
        names: Names,
        reason: str = "",
        left: Left | None = None,
    ) -> bool:
        into = ", ".join(dict.fromkeys(map(place_of, plan.absorbers)))
        merged = any(absorber.op_type == "BatchNormalization" for absorber in plan.absorbers)
        fate = "reduced" if left is not None else "merged" if merged else "absorbed"
        for folded in (node, *plan.composed):
            self._record(fate_of(folded, fate, into, reason))
        touched = (node, *plan.touched, *plan.composed, *plan.absorbers)
        before = around(touched)
        for edit in plan.edits:
            edit(names)
        if left is not None:
            append(left.operator, node, left.vector, left.axis, names)
        bypass(node, index)
        self._tried.changed(before | around(touched))
        return True

    def _keep(self, node: ir.Node, reason: str) -> None:
        if node.op_type == "BatchNormalization":
            self._record(fate_of(node, "kept", reason=reason))


def _undoing(node: ir.Node, index: int, affine: ChannelAffine, order: Places) -> Plan | str:
    """Back, where other readers take up the inverse."""
    return push(node, index, affine, order, undo=True)


def _paying(plan: Plan | str) -> Plan | str:
    """The plan, if it leaves no more operators than before."""
    if isinstance(plan, str) or plan.pays:
        return plan
    return f"{plan.adds} Adds would take its place"
