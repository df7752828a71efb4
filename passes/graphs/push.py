"""Push an affine back from a value to the linear operators that can absorb it.

What is asked of a value is asked of its producer once all its readers have spoken: from the last node to the
first. So an affine that splits over several producers is absorbed by all of them or by none, and branches that
meet again are one. Planning changes nothing: it answers with the edits, or with what is in the way.

A reader that needs the value as it was can have it back: it takes up the inverse, if it is linear itself
(DenseNet: the first BatchNorm on a feature goes into its producer, the later ones absorb the inverse).
"""

from __future__ import annotations

import heapq
from collections.abc import Mapping

import numpy as np
import onnx_ir as ir

from bnexport.passes.graphs.affine import ChannelAffine
from bnexport.passes.graphs.graph import (
    Array,
    array,
    has_axis,
    is_constant,
    operands,
    readers,
    sizes,
)
from bnexport.passes.graphs.parts import agreed, cuts
from bnexport.passes.graphs.plan import Plan, absorbed
from bnexport.passes.graphs.pull import pull_into
from bnexport.passes.graphs.search import Picks, search
from bnexport.passes.graphs.steps import steps

__all__ = ["Order", "push"]

Order = Mapping[ir.Node, int]
Use = tuple[ir.Node, int]

# whose constant may become one along the channels
BROADCASTS = ("Add", "Max", "Min", "Sub", "Where")


def push(
    node: ir.Node, index: int, affine: ChannelAffine, order: Order, *, undo: bool = False
) -> Plan | str:
    """Plan that input ``index`` of ``node``, x, becomes affine(x), for that node alone.

    Args:
        node: Who reads it.
        index: Which of its inputs.
        affine: What it must become.
        order: Every node's place in the graph.
        undo: Whether other readers may take up the inverse.
    """
    if undo:
        # What stands in the way even if every other reader took up the inverse is found without asking them.
        free = search(lambda picks: _Walk(order, picks, undo, ask=False).run(node, index, affine))
        if isinstance(free, str):
            return free
    return search(lambda picks: _Walk(order, picks, undo).run(node, index, affine))


class _Walk:
    """One way back through the graph."""

    def __init__(self, order: Order, picks: Picks, undo: bool, ask: bool = True) -> None:
        self.order, self.picks, self.undo, self.asks = order, picks, undo, ask
        self.asked: dict[ir.Value, dict[Use, ChannelAffine]] = {}
        self.waiting: list[tuple[int, ir.Node]] = []
        self.claims: dict[ir.Node, tuple[ir.Value, int]] = {}
        self.plan, self.place = Plan(), 0

    def run(self, node: ir.Node, index: int, affine: ChannelAffine) -> Plan | str:
        self.place = self.order[node]
        obstacle = self.ask(node, index, affine)
        while self.waiting and not obstacle:
            place, visited = heapq.heappop(self.waiting)
            self.place = -place
            obstacle = self.visit(visited, node)
        return obstacle or self.plan

    def ask(self, reader: ir.Node, index: int, affine: ChannelAffine) -> str:
        """Note that ``reader`` needs its input ``index`` affine; the answer is what is in the way."""
        value = reader.inputs[index]
        if value is None or not (affine.scales or affine.shifts):
            return ""
        producer = value.producer()
        if producer is None:
            return self.settle(reader, index, affine)
        if value.is_graph_output():
            return f"the result of the {producer.op_type} before it is an output of the model"
        if value not in self.asked:
            obstacle = self.foreseen(value, reader)
            if obstacle:
                return obstacle
            if not any(out in self.asked for out in producer.outputs):
                heapq.heappush(self.waiting, (-self.order[producer], producer))
        self.asked.setdefault(value, {})[(reader, index)] = affine
        return ""

    def foreseen(self, value: ir.Value, asking: ir.Node) -> str:
        """What `combined` will find in the way once it comes to ``value``, of which nothing was asked so far.

        A reader behind the node that is visited has not spoken and will not. So a Concat of thirty parts need not ask
        all of them, to learn that one is read elsewhere.
        """
        if (self.undo and self.asks) or cuts(asking):
            return ""
        uses = readers(value)
        if any(reader.graph is not asking.graph for reader, _ in uses):
            return _needed(value, len(uses))
        late = [use for use in uses if self.order[use[0]] > self.place and not cuts(use[0])]
        if not late:
            return ""
        return self.claim(value, late) if self.undo else _needed(value, len(uses))

    def settle(self, reader: ir.Node, index: int, affine: ChannelAffine) -> str:
        """A constant operand takes it up."""
        value, shape = reader.inputs[index], sizes(reader.outputs[0])
        if value is None or not is_constant(value):
            return "it stands on the model's input"
        if shape is None:
            return "the rank is not known"
        old = array(value)
        rank = len(shape) if reader.op_type in BROADCASTS else old.ndim
        scale, shift = (_spread(v, affine.axis, rank) for v in (affine.scale, affine.shift))
        new = _squeezed(scale * old + shift, old.ndim)
        plan = absorbed(reader, {index: new}, counts=False)
        if isinstance(plan, str):
            return plan
        self.plan += plan
        return ""

    def visit(self, node: ir.Node, root: ir.Node) -> str:
        """Have ``node`` answer what is asked of its outputs."""
        wanted = []
        for output in node.outputs:
            if output in self.asked:
                affine = self.combined(output, root)
                if isinstance(affine, str):
                    return affine
                wanted.append((output, affine))
        ways = steps(node, wanted)
        if isinstance(ways, str):
            return ways
        step = ways[self.picks.pick(len(ways))]
        # Undoing may have come here by another way, and changed the node.
        plan = self.plan.beside(Plan(touched=(node,)) + step.plan)
        if isinstance(plan, str):
            return plan
        self.plan = plan
        asking = step.through or node
        # The last operand was made last: what is nearest is told.
        obstacles = (self.ask(asking, index, affine) for index, affine in reversed(step.onward))
        return next(filter(None, obstacles), "")

    def combined(self, value: ir.Value, root: ir.Node) -> ChannelAffine | str:
        """What all readers of ``value`` together ask of it."""
        asked = self.asked[value]
        uses = readers(value)
        silent = [use for use in uses if use not in asked]
        heard = [(reader, affine) for (reader, _), affine in asked.items()]
        if all(reader.graph is root.graph for reader, _ in uses):
            affine = agreed(value, heard, [reader for reader, _ in silent])
            if affine is not None:
                return affine
            if self.undo and all(heard[0][1].like(other) for _, other in heard):
                if self.asks:
                    return self.undone(heard[0][1], silent, root)
                return self.claim(value, silent) or heard[0][1]
        return _needed(value, len(uses))

    def claim(self, value: ir.Value, silent: list[Use]) -> str:
        """Note that these readers would take up the inverse; what is in the way is that one takes up another, too."""
        for reader, index in silent:
            if self.claims.setdefault(reader, (value, index)) != (value, index):
                return f"two branches meet in one {reader.op_type}"
        return ""

    def undone(
        self, affine: ChannelAffine, silent: list[Use], root: ir.Node
    ) -> ChannelAffine | str:
        """``affine``, where every reader that did not ask for it can take up its inverse."""
        if bool(np.any(affine.scale == 0)):
            return "a scale of 0 cannot be undone for another reader"
        plan = self.plan + Plan(touched=(root,))
        # Those that refuse at once come first; a BatchNorm takes up any inverse.
        for reader, index in sorted(silent, key=lambda use: use[0].op_type == "BatchNormalization"):
            back = pull_into(reader, index, affine.inverse(), self.order)
            if isinstance(back, str):
                back = self.balanced(reader, index, affine) or back
            both = back if isinstance(back, str) else plan.beside(back)
            if isinstance(both, str):
                return f"another reader needs it as it is: {both}"
            plan = both
        self.plan = plan
        return affine

    def balanced(self, reader: ir.Node, index: int, affine: ChannelAffine) -> Plan | None:
        """U + v = (u + t) + (v - t): the other side of a sum takes up what a shift of this one adds."""
        if reader.op_type not in ("Add", "Sub") or affine.scales:
            return None
        if not all(has_axis(side, reader.outputs[0], affine.axis) for side in operands(reader)):
            return None
        other = affine.inverse() if reader.op_type == "Add" else affine
        plan = push(reader, 1 - index, other, self.order)
        return plan if isinstance(plan, Plan) else None


def _needed(value: ir.Value, count: int) -> str:
    producer = value.producer()
    operator = producer.op_type if producer else "value"
    return f"the {operator} before it has {count} readers, which need it as it is"


def _spread(vector: Array, axis: int | None, rank: int) -> Array:
    """The vector along ``axis`` of an array of that rank."""
    if axis is None:
        return vector.reshape([1] * rank)
    return vector.reshape([-1 if a == axis else 1 for a in range(rank)])


def _squeezed(numbers: Array, rank: int) -> Array:
    """Without leading axes of size 1 beyond ``rank``, as the constant was written."""
    while numbers.ndim > rank and numbers.shape[0] == 1:
        numbers = numbers[0]
    return numbers
