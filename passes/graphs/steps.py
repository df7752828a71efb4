"""The ways in which one node can take an affine of its output: it asks it of its inputs, or absorbs it.

y = a(x), x = b(z) with b affine too     ->  the two are one: a after b is asked of z
y = a(u + v)                             ->  a is asked of u, its scale alone of v; or the other way round
y = a(u * v), a(u / v)                   ->  its scale is asked of u; or of v
y = a(max(u, v)), a(u or v)              ->  a is asked of both
y = a(concat(u, v))                      ->  each part of the vector is asked of its operand
y = a(part of u)                         ->  of u, with 1 and 0 over the other parts
what else lets it pass                   ->  `moves`
a linear operator                        ->  `linear`
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import onnx_ir as ir

from bnexport.passes.graphs.affine import ChannelAffine, read
from bnexport.passes.graphs.channel_shuffle import shuffle_before
from bnexport.passes.graphs.graph import has_axis, is_constant, is_read, operands
from bnexport.passes.graphs.linear import ABSORB, WITHOUT_BIAS
from bnexport.passes.graphs.moves import BACK
from bnexport.passes.graphs.parts import concat_axis, concat_parts, widened
from bnexport.passes.graphs.plan import Step, absorbed, appended, composed

__all__ = ["Steps", "steps"]

Steps = list[Step] | str


def steps(node: ir.Node, wanted: Sequence[tuple[ir.Value, ChannelAffine]]) -> Steps:
    """Every way to make the outputs in ``wanted`` affine; a sentence where there is none."""
    if node.domain not in ("", "ai.onnx"):
        return f"the {node.domain}:{node.op_type} before it is not known"
    part = widened(node, wanted)
    if part is not None:
        return part if isinstance(part, str) else [_asking(0, part)]
    if any(is_read(out) for out in node.outputs if out is not wanted[0][0]):
        return f"the {node.op_type} before it has several outputs"
    affine = wanted[0][1]
    reason, found = f"{node.op_type} comes before it, which is not linear", list[Step]()
    for rule in (_compose, _absorb, _split, _shuffle, _move):
        match rule(node, affine):
            case str(obstacle):
                reason = obstacle
            case list(ways):
                found += ways
            case None:
                pass
        if found and node.op_type != "BatchNormalization":
            break
    return found or reason


def _asking(index: int, affine: ChannelAffine) -> Step:
    return Step(((index, affine),))


def _compose(node: ir.Node, affine: ChannelAffine) -> Steps | None:
    """With an affine before it, which is taken along."""
    before = read(node)
    if not isinstance(before, tuple):
        return before
    index, inner = before
    both = affine.after(inner)
    if both is None:
        return "another affine stands before it, along another axis"
    return [Step(((index, both),), composed(node, index))]


def _split(node: ir.Node, affine: ChannelAffine) -> Steps | None:
    rule = _SPLITS.get(node.op_type)
    return rule(node, affine) if rule else None


def _shuffle(node: ir.Node, affine: ChannelAffine) -> Steps | None:
    found = shuffle_before(node) if affine.axis == 1 else None
    if found is None:
        return None
    first, index = found
    back = np.empty_like(index)
    back[index] = np.arange(len(index))
    return [Step(((0, affine.at(1, back)),), through=first)]


def _move(node: ir.Node, affine: ChannelAffine) -> Steps | None:
    rule = BACK.get(node.op_type)
    moved = rule(node, affine) if rule else None
    return [_asking(0, moved)] if isinstance(moved, ChannelAffine) else moved


def _absorb(node: ir.Node, affine: ChannelAffine) -> Steps | None:
    rule = ABSORB.get(node.op_type)
    new = rule(node, affine) if rule else None
    if not isinstance(new, dict):
        return new
    plan = absorbed(node, new)
    if isinstance(plan, str):
        return plan
    if node.op_type in WITHOUT_BIAS and affine.shifts:
        plan += appended(node, affine.shift, affine.axis)
    return [Step((), plan)]


def _sum(node: ir.Node, affine: ChannelAffine) -> Steps:
    """Add and Sub: one side takes all, the other the scale alone; of a Sub, the first."""
    sides = operands(node)
    if not all(is_constant(side) or has_axis(side, node.outputs[0], affine.axis) for side in sides):
        return f"the {node.op_type} before it broadcasts"
    ways = [((0, affine), (1, affine.scaling)), ((1, affine), (0, affine.scaling))]
    if is_constant(sides[1]):
        ways.reverse()  # a constant can always take the shift
    return [Step(way) for way in ways if node.op_type == "Add" or way[0][0] == 0]


def _product(node: ir.Node, affine: ChannelAffine) -> Steps:
    """Mul and Div: one factor takes the scale; of a Div, the first."""
    sides = operands(node)
    if affine.shifts:
        return f"a shift does not pass the {node.op_type} before it"
    count = 2 if node.op_type == "Mul" else 1
    whole = [i for i in range(count) if has_axis(sides[i], node.outputs[0], affine.axis)]
    return [_asking(i, affine) for i in whole] or f"the {node.op_type} before it broadcasts"


def _chosen(node: ir.Node, affine: ChannelAffine) -> Steps:
    """Max, Min and Where: each element is one of theirs; a negative scale would choose another one."""
    if node.op_type != "Where" and bool(np.any(affine.scale < 0)):
        return f"a negative scale does not pass the {node.op_type} before it"
    sides = list(enumerate(operands(node)))[1 if node.op_type == "Where" else 0 :]
    if not all(is_constant(v) or has_axis(v, node.outputs[0], affine.axis) for _, v in sides):
        return f"the {node.op_type} before it broadcasts"
    return [Step(tuple((index, affine) for index, _ in sides))]


def _concat(node: ir.Node, affine: ChannelAffine) -> Steps:
    if affine.axis != concat_axis(node) is not None:
        return [Step(tuple((i, affine) for i in range(len(node.inputs))))]
    found = concat_parts(node)
    if isinstance(found, str):
        return found
    axis, parts = found
    return [Step(tuple((i, affine.at(axis, part)) for i, part in enumerate(parts)))]


_SPLITS: dict[str, Callable[[ir.Node, ChannelAffine], Steps | None]] = {
    "Add": _sum,
    "Concat": _concat,
    "Div": _product,
    "Max": _chosen,
    "Min": _chosen,
    "Mul": _product,
    "Sub": _sum,
    "Where": _chosen,
}
