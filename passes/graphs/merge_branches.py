"""Merge linear branches over one input, whose outputs are added, into one Conv.

    W1 * x + W2 * x      = (W1 + W2) * x              kernels padded to one grid, groups to the fewer
    W * x + x            = (W + 1) * x                a skip
    W * x + (s x + t)    = (W + diag(s)) * x + t      a BatchNorm of x (RepVGG, MobileOne, RepViT)

The bias does not mind padding, for it is added behind it. Only where nothing else reads them, and only where
the one Conv has no more multiplications than the two had: a 3x3 in the place of 1x3 + 3x1 took 1.25 to 1.33
times the processor time (ONNX Runtime 1.32.0), in the place of 3x3 + 1x3 + 3x1 it saves two.

Source: Ding et al., RepVGG (2021), section 3.3; Vasu et al., MobileOne (2023), section 3.2.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import onnx_ir as ir

from bnexport.passes.graphs.affine import ChannelAffine, read
from bnexport.passes.graphs.branch import Branch, of_affine, of_conv
from bnexport.passes.graphs.contract import GraphPass
from bnexport.passes.graphs.fate import Fate, fate_of, place_of
from bnexport.passes.graphs.graph import alike, bypass, operands
from bnexport.passes.graphs.naming import Names
from bnexport.passes.graphs.plan import Plan, absorbed
from bnexport.passes.graphs.traverse import every_node

__all__ = ["MergeBranches"]


class MergeBranches(GraphPass):
    """Make one Conv of Conv + Conv, Conv + x and Conv + BatchNormalization over one input.

    Args:
        record: Called with the fate of every affine that was merged.
    """

    def __init__(self, record: Callable[[Fate], None] = lambda fate: None) -> None:
        super().__init__()
        self._record = record

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Merge in place; a chain of Adds from its first to its last."""
        names, modified = Names(model.graph), False
        for node in list(every_node(model.graph)):
            if node.op_type in ("Add", "Sub") and not node.domain:
                modified |= any(self._merge(node, side, names) for side in (0, 1) if node.graph)
        return ir.passes.PassResult(model, modified)

    def _merge(self, node: ir.Node, side: int, names: Names) -> bool:
        """Let the Conv on ``side`` take up a summand of the other side."""
        conv = _alone(operands(node)[side], node)
        if conv is None or conv.op_type != "Conv" or conv.domain or conv.inputs[0] is None:
            return False
        return any(
            self._take_up(conv, node, side, add, index, names)
            for add, index in _summands(node, 1 - side)
        )

    def _take_up(
        self, conv: ir.Node, node: ir.Node, side: int, add: ir.Node, index: int, names: Names
    ) -> bool:
        """Let ``conv`` compute input ``index`` of ``add`` too, which is then left out."""
        value = operands(add)[index]
        second = _of_other(value, add, conv) if value.producer() is not conv else None
        first = of_conv(conv) if second else None
        if first is None or second is None:
            return False
        if (
            node.op_type == "Sub"
        ):  # of l - conv, -conv + l is left; of (l + u) - conv, u - (conv - l)
            turned = side == 1 and add is node
            first, second = (first.negated(), second) if turned else (first, second.negated())
        total = first.plus(second)
        plan = absorbed(conv, {1: total.weight, 2: total.bias}) if total else ""
        if total is None or not isinstance(plan, Plan):
            return False
        for edit in plan.edits:
            edit(names)
        _describe(conv, total)
        other = value.producer()
        bypass(add, 1 - index)
        if other is not None and value is not conv.inputs[0]:
            if other.op_type != "Conv":
                self._record(fate_of(other, "absorbed", place_of(conv)))
            if isinstance(other.graph, ir.Graph):
                other.graph.remove(other, safe=True)
        return True


def _summands(node: ir.Node, index: int) -> Iterator[tuple[ir.Node, int]]:
    """Where the values stand that input ``index`` of ``node`` is the sum of: itself, or those of an Add."""
    yield node, index
    value = operands(node)[index]
    inner = _alone(value, node)
    if inner is None or inner.op_type != "Add" or inner.domain:
        return
    if len(operands(inner)) == 2 and all(alike(each, value) for each in operands(inner)):
        yield from _summands(inner, 0)
        yield from _summands(inner, 1)


def _of_other(value: ir.Value, reader: ir.Node, conv: ir.Node) -> Branch | None:
    """What ``value`` is of the Conv's input: itself, an affine or a Conv of it."""
    source, group = conv.inputs[0], conv.attributes.get_int("group", 1)
    if source is None:
        return None
    if value is source:
        return of_affine(source, ChannelAffine.identity(), group)
    node = _alone(value, reader)
    if node is None:
        return None
    if node.op_type == "Conv" and not node.domain:
        return of_conv(node) if node.inputs[0] is source else None
    found = read(node)
    if found is None or isinstance(found, str) or node.inputs[found[0]] is not source:
        return None
    return of_affine(source, found[1], group) if alike(node.outputs[0], source) else None


def _alone(value: ir.Value, reader: ir.Node) -> ir.Node | None:
    """The producer of ``value``, if ``reader`` is all that needs it."""
    node = value.producer()
    if node is None or node.graph is not reader.graph or value.is_graph_output():
        return None
    return node if len(value.uses()) == 1 else None


def _describe(conv: ir.Node, branch: Branch) -> None:
    """State the branch's grid in the Conv's attributes."""
    conv.attributes.pop("auto_pad", None)
    conv.attributes["group"] = ir.AttrInt64("group", branch.group)
    stated = {
        "kernel_shape": branch.weight.shape[2:],
        "strides": branch.strides,
        "dilations": branch.dilations,
        "pads": branch.pads,
    }
    for name, values in stated.items():
        conv.attributes[name] = ir.AttrInt64s(name, list(values))
