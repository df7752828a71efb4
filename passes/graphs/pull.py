"""Pull an affine forward from a value into the linear operators that read it.

What a node is given on its inputs it passes on once all of them are known: from the first node to the last.
Every reader takes it or none does. Between them an affine moves by the rules of `moves`, turned round; where
branches meet, `_meet` says what comes of it:

    a(u) + v            a shift alone, unless v comes with the same scale
    a(u) * v, a(u) / v  a scale alone
    concat(a(u), v)     a, with 1 and 0 over the channels of v
    split(a(u))         to each part its own
"""

from __future__ import annotations

import heapq
from collections.abc import Mapping

import numpy as np
import onnx_ir as ir

from bnexport.passes.graphs.affine import ChannelAffine, read
from bnexport.passes.graphs.channel_shuffle import shuffle_behind
from bnexport.passes.graphs.graph import has_axis, is_constant, is_read, operands, readers
from bnexport.passes.graphs.linear_forward import ABSORB_FORWARD
from bnexport.passes.graphs.moves import FORWARD
from bnexport.passes.graphs.parts import concat_parts, cut_axis, picked
from bnexport.passes.graphs.plan import Plan, Step, absorbed, appended, composed
from bnexport.passes.graphs.search import Picks, search

__all__ = ["pull", "pull_into"]

Order = Mapping[ir.Node, int]
Given = dict[int, ChannelAffine]
Steps = list[Step] | str


def pull(value: ir.Value, affine: ChannelAffine, order: Order) -> Plan | str:
    """Plan that every reader of ``value`` computes as if it read affine(value)."""
    return search(lambda picks: _Walk(order, picks).from_value(value, affine))


def pull_into(reader: ir.Node, index: int, affine: ChannelAffine, order: Order) -> Plan | str:
    """Plan that ``reader`` alone computes as if its input ``index`` were affine(it)."""
    return search(lambda picks: _Walk(order, picks).from_reader(reader, index, affine))


class _Walk:
    """One way forward through the graph."""

    def __init__(self, order: Order, picks: Picks) -> None:
        self.order, self.picks = order, picks
        self.given: dict[ir.Node, Given] = {}
        self.waiting: list[tuple[int, ir.Node]] = []
        self.plan = Plan()

    def from_value(self, value: ir.Value, affine: ChannelAffine) -> Plan | str:
        return self.run(self.give_all(value, affine))

    def from_reader(self, reader: ir.Node, index: int, affine: ChannelAffine) -> Plan | str:
        self.give(reader, index, affine)
        return self.run()

    def run(self, obstacle: str = "") -> Plan | str:
        while self.waiting and not obstacle:
            obstacle = self.visit(heapq.heappop(self.waiting)[1])
        return obstacle or self.plan

    def give_all(self, value: ir.Value, affine: ChannelAffine) -> str:
        """Let every reader of ``value`` take it for affine(value); the answer is what is in the way."""
        if not (affine.scales or affine.shifts):
            return ""
        if value.is_graph_output():
            return "its result is an output of the model"
        for reader, index in readers(value):
            self.give(reader, index, affine)
        return ""

    def give(self, reader: ir.Node, index: int, affine: ChannelAffine) -> None:
        """Note what ``reader`` is to take its input ``index`` for."""
        if reader not in self.given:
            heapq.heappush(self.waiting, (self.order[reader], reader))
        self.given.setdefault(reader, {})[index] = affine

    def visit(self, node: ir.Node) -> str:
        """Have ``node`` pass on what it is given."""
        ways = _steps(node, self.given[node])
        if isinstance(ways, str):
            return ways
        step = ways[self.picks.pick(len(ways))]
        self.plan += Plan(touched=(node,)) + step.plan
        last = step.through or node
        obstacles = [self.give_all(last.outputs[place], affine) for place, affine in step.onward]
        return next(filter(None, obstacles), "")


def _steps(node: ir.Node, given: Given) -> Steps:
    """Every way to pass on what is given on some of the inputs; a sentence where there is none."""
    if node.domain not in ("", "ai.onnx"):
        return f"the {node.domain}:{node.op_type} behind it is not known"
    if node.op_type in _MEET:
        met = _MEET[node.op_type](node, given)
        if met is not None:
            return met
    if len(given) > 1:
        return f"a {node.op_type} reads it twice"
    (index, affine), found = next(iter(given.items())), list[Step]()
    reason = f"{node.op_type} comes behind it, which is not linear"
    for rule in (_compose, _absorb, _shuffle, _move):
        match rule(node, index, affine):
            case str(obstacle):
                reason = obstacle
            case Step() as step:
                found.append(step)
                if rule is _shuffle:
                    break
            case None:
                pass
    return found or reason


def _compose(node: ir.Node, index: int, affine: ChannelAffine) -> Step | str | None:
    """With an affine behind it, which is taken along."""
    behind = read(node)
    if not isinstance(behind, tuple):
        return None
    both = behind[1].after(affine)
    if both is None:
        return "another affine stands behind it, along another axis"
    return Step(((0, both),), composed(node, index))


def _absorb(node: ir.Node, index: int, affine: ChannelAffine) -> Step | str | None:
    rule = ABSORB_FORWARD.get(node.op_type)
    new = rule(node, index, affine) if rule else None
    if not isinstance(new, tuple):
        return new
    constants, shift = new
    plan = absorbed(node, constants)
    if isinstance(plan, str):
        return plan
    if shift is not None and np.any(shift[1]):
        plan += appended(node, shift[1], shift[0])
    return Step((), plan)


def _shuffle(node: ir.Node, index: int, affine: ChannelAffine) -> Step | None:
    found = shuffle_behind(node) if affine.axis == 1 and index == 0 else None
    if found is None:
        return None
    return Step(((0, affine.at(1, found[1])),), through=found[0])


def _move(node: ir.Node, index: int, affine: ChannelAffine) -> Step | str | None:
    rule = FORWARD.get(node.op_type)
    if rule is None or index != 0:
        return None
    moved = rule(node, affine)
    return moved if isinstance(moved, str) else Step(((0, moved),))


def _sum(node: ir.Node, given: Given) -> Steps | None:
    """Add and Sub of two values that come with the same scale; a value as it is has scale 1."""
    if any(map(is_constant, node.inputs)):
        return None
    if not _in_full(node, given):
        return f"the {node.op_type} behind it broadcasts"
    axis = next(iter(given.values())).axis
    left, right = (given.get(side, ChannelAffine.identity().on(axis)) for side in (0, 1))
    if left.axis != right.axis or not np.all(left.scale == right.scale):
        return f"{node.op_type} comes behind it, whose other side does not scale with it"
    sign = 1 if node.op_type == "Add" else -1
    scale, shift = np.broadcast_arrays(left.scale * right.scale**0, left.shift + sign * right.shift)
    return [Step(((0, ChannelAffine(axis, scale, shift)),))]


def _in_full(node: ir.Node, given: Given) -> bool:
    """Whether each operand that comes with an affine has the result's channels."""
    result, sides = node.outputs[0], operands(node)
    return all(has_axis(sides[index], result, affine.axis) for index, affine in given.items())


def _product(node: ir.Node, given: Given) -> Steps | None:
    """A factor's scale is the product's; a divisor's is not."""
    if any(map(is_constant, node.inputs)):
        return None
    index, affine = next(iter(given.items()))
    if len(given) > 1 or affine.shifts or (node.op_type == "Div" and index == 1):
        return f"{node.op_type} comes behind it, which a shift does not pass"
    if not _in_full(node, given):
        return f"the {node.op_type} behind it broadcasts"
    return [Step(((0, affine),))]


def _concat(node: ir.Node, given: Given) -> Steps:
    found = concat_parts(node)
    if isinstance(found, str):
        return found
    axis, parts = found
    total = sum(map(len, parts))
    scale, shift = np.ones(total), np.zeros(total)
    for index, affine in given.items():
        vectors = affine.along(axis, len(parts[index]))
        if vectors is None:
            return "it runs along another axis than the Concat behind it"
        scale[parts[index]], shift[parts[index]] = vectors
    return [Step(((0, ChannelAffine(axis, scale, shift)),))]


def _split(node: ir.Node, given: Given) -> Steps | None:
    """Each part takes its own; of a Slice along the channels, the one part."""
    affine, axis = given.get(0), cut_axis(node)
    if affine is None or axis is None:
        return None
    onward = []
    for place, output in enumerate(node.outputs):
        if affine.axis != axis:
            onward.append((place, affine))
        elif (index := picked(node, output, axis)) is not None:
            onward.append((place, affine.at(axis, index)))
        else:
            return f"the parts of the {node.op_type} behind it are not fixed"
    return [Step(tuple((place, part) for place, part in onward if is_read(node.outputs[place])))]


_MEET = {
    "Add": _sum,
    "Concat": _concat,
    "Div": _product,
    "Mul": _product,
    "Slice": _split,
    "Split": _split,
    "Sub": _sum,
}
