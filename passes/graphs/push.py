"""Push an affine back from a value towards the linear operators that can absorb it.

Planning changes nothing: it answers with the edits to make, or with the sentence that says what is in the
way. So an affine that splits over several producers is absorbed by all of them or by none.

    y = a(x), x = b(z) with b affine too     ->  the two are one: a after b goes to z
    y = a(u + c) with c constant             ->  s u + (s c + t): the scale goes to u, c takes the rest
    y = a(u + v)                             ->  a goes to u, its scale alone to v
    y = a(u * v)                             ->  its scale goes to u, or to v
    y = a(concat(u, v))                      ->  each part of the vector goes to its operand
    y = a(part of u)                         ->  a widens to u, by 1 and 0 over the other parts
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import onnx_ir as ir

from bnexport.passes.graphs.affine import ChannelAffine, read
from bnexport.passes.graphs.graph import (
    append,
    array,
    bypass,
    is_constant,
    is_read,
    operands,
    sizes,
)
from bnexport.passes.graphs.linear import ABSORB
from bnexport.passes.graphs.moves import MOVES
from bnexport.passes.graphs.parts import leaves_alone, part_of
from bnexport.passes.graphs.plan import Plan, absorbed

__all__ = ["Plan", "push"]


def push(value: ir.Value, affine: ChannelAffine, reader: ir.Node) -> Plan | str:
    """Plan that ``value``, which ``reader`` alone reads, becomes affine(value)."""
    if not affine.scales and not affine.shifts:
        return Plan()
    node = value.producer()
    if node is None:
        return "it stands on a constant" if is_constant(value) else "it stands on the model's input"
    if obstacle := _others(value, node, reader, affine):
        return obstacle
    if part := part_of(node, value, affine):
        source = operands(node)[0]
        return part if isinstance(part, str) else push(source, part, node)
    if len(node.outputs) > 1 and any(is_read(out) for out in node.outputs if out is not value):
        return f"the {node.op_type} before it has several outputs"
    if node.domain not in ("", "ai.onnx"):
        return f"the {node.domain}:{node.op_type} before it is not known"
    reason = f"{node.op_type} comes before it, which is not linear"
    for rule in (_compose, _split, _move, _absorb):
        match rule(node, affine):
            case Plan() as plan:
                return plan
            case str(obstacle):
                reason = obstacle
    return reason


def _others(value: ir.Value, node: ir.Node, reader: ir.Node, affine: ChannelAffine) -> str:
    """Who else needs the value as it is."""
    if value.is_graph_output():
        return f"the result of the {node.op_type} before it is an output of the model"
    readers = [each for each, _ in value.uses()]
    others = [each for each in readers if each is not reader]
    if len(readers) > len(others) + 1 or any(
        each.graph is not node.graph or not leaves_alone(each, affine) for each in others
    ):
        return f"the {node.op_type} before it has {len(readers)} readers, which need it as it is"
    if node.graph is not reader.graph:
        return f"the {node.op_type} before it lies outside the subgraph"
    return ""


def _compose(node: ir.Node, affine: ChannelAffine) -> Plan | str | None:
    """With an affine before it, which is taken along."""
    before = read(node)
    if before is None or isinstance(before, str):
        return before
    index, inner = before
    both = affine.after(inner)
    source = node.inputs[index]
    if both is None or source is None:
        return "another affine stands before it, along another axis"
    plan = push(source, both, node)
    if isinstance(plan, str):
        return plan
    return plan + Plan((lambda names: bypass(node, index),), (), (node,), (node,))


def _split(node: ir.Node, affine: ChannelAffine) -> Plan | str | None:
    rule = _SPLITS.get(node.op_type)
    return rule(node, affine) if rule else None


def _move(node: ir.Node, affine: ChannelAffine) -> Plan | str | None:
    rule = MOVES.get(node.op_type)
    moved = rule(node, affine) if rule else None
    return push(operands(node)[0], moved, node) if isinstance(moved, ChannelAffine) else moved


def _absorb(node: ir.Node, affine: ChannelAffine) -> Plan | str | None:
    rule = ABSORB.get(node.op_type)
    new = rule(node, affine) if rule else None
    if not isinstance(new, dict):
        return new
    plan = absorbed(node, new)
    if node.op_type != "MatMul" or not affine.shifts or isinstance(plan, str):
        return plan
    return plan + Plan((lambda names: append("Add", node, affine.shift, affine.axis, names),))


def _add(node: ir.Node, affine: ChannelAffine) -> Plan | str | None:
    left, right = operands(node)
    if is_constant(left) or is_constant(right):
        return _add_constant(node, affine)
    if not _same_size(node):
        return "the Add before it broadcasts"
    whole, scale = push(left, affine, node), push(right, affine.scaling, node)
    if isinstance(whole, str) or isinstance(scale, str):  # the shift may suit the other side
        whole, scale = push(right, affine, node), push(left, affine.scaling, node)
    if isinstance(whole, str) or isinstance(scale, str):
        return whole if isinstance(whole, str) else str(scale)
    return whole.beside(scale)


def _add_constant(node: ir.Node, affine: ChannelAffine) -> Plan | str:
    index = 0 if is_constant(node.inputs[0]) else 1
    constant, source = operands(node)[index], operands(node)[1 - index]
    shape = sizes(node.outputs[0])
    if shape is None or sizes(source) != shape:
        return "the Add before it broadcasts"
    plan = push(source, affine.scaling, node)
    if isinstance(plan, str):
        return plan
    scale, shift = (
        _spread(affine.scale, affine.axis, shape),
        _spread(affine.shift, affine.axis, shape),
    )
    new = _squeezed(scale * array(constant) + shift, array(constant).ndim)
    rest = absorbed(node, {index: new}, counts=False)
    return rest if isinstance(rest, str) else plan.beside(rest)


def _sub(node: ir.Node, affine: ChannelAffine) -> Plan | str | None:
    left, right = operands(node)
    if is_constant(left) or is_constant(right):
        return None
    if not _same_size(node):
        return "the Sub before it broadcasts"
    whole, scale = push(left, affine, node), push(right, affine.scaling, node)
    if isinstance(whole, str) or isinstance(scale, str):
        return whole if isinstance(whole, str) else str(scale)
    return whole.beside(scale)


def _mul(node: ir.Node, affine: ChannelAffine) -> Plan | str | None:
    left, right = operands(node)
    if is_constant(left) or is_constant(right):
        return None
    if affine.shifts:
        return "a shift does not pass the Mul before it"
    reason = "the Mul before it broadcasts"
    for side in (left, right):
        if sizes(side) == sizes(node.outputs[0]) is not None:
            plan = push(side, affine, node)
            if isinstance(plan, Plan):
                return plan
            reason = plan
    return reason


def _concat(node: ir.Node, affine: ChannelAffine) -> Plan | str:
    shape = sizes(node.outputs[0])
    if shape is None:
        return "the rank is not known"
    axis = node.attributes.get_int("axis", 0) % len(shape)
    parts = operands(node)
    if len(set(parts)) < len(parts):
        return "the Concat before it takes a value twice"
    total, start = Plan(), 0
    for part in parts:
        one = affine
        if affine.axis == axis:
            width = (sizes(part) or ())[axis] if sizes(part) else None
            if width is None:
                return "the sizes of the Concat's parts are not fixed"
            cut = slice(start, start + width)
            one, start = ChannelAffine(axis, affine.scale[cut], affine.shift[cut]), start + width
        plan = push(part, one, node)
        if isinstance(plan, str):
            return plan
        both = total.beside(plan)
        if isinstance(both, str):
            return both
        total = both
    return total


_SPLITS: dict[str, Callable[[ir.Node, ChannelAffine], Plan | str | None]] = {
    "Add": _add,
    "Concat": _concat,
    "Mul": _mul,
    "Sub": _sub,
}


def _same_size(node: ir.Node) -> bool:
    """Both operands have the output's shape, symbolic sizes included."""
    shapes = [value.shape for value in (*operands(node), node.outputs[0])]
    return shapes[0] is not None and all(shape == shapes[0] for shape in shapes)


def _spread(vector: np.ndarray, axis: int | None, shape: Sequence[int | None]) -> np.ndarray:
    """The vector along ``axis`` of an array that broadcasts against ``shape``."""
    if axis is None:
        return vector.reshape([1] * len(shape))
    return vector.reshape([-1 if a == axis else 1 for a in range(len(shape))])


def _squeezed(numbers: np.ndarray, rank: int) -> np.ndarray:
    """Without leading axes of size 1 beyond ``rank``, as the constant was written."""
    while numbers.ndim > rank and numbers.shape[0] == 1:
        numbers = numbers[0]
    return numbers
