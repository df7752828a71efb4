"""A plan: the edits that would fold an affine, made only when every part of it is possible."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from bnexport.passes.graphs.graph import set_constant
from bnexport.passes.graphs.linear import Constants
from bnexport.passes.graphs.naming import Names

__all__ = ["Plan", "absorbed"]

Edit = Callable[[Names], None]


@dataclass(frozen=True)
class Plan:
    """What would be done.

    Attributes:
        edits: To be made in order.
        absorbers: The linear operators that take the affine up.
        composed: Affine nodes on the way that are taken along, and so disappear.
        touched: Every node that an edit changes; its new constants are computed from its old ones.
    """

    edits: tuple[Edit, ...] = ()
    absorbers: tuple[ir.Node, ...] = ()
    composed: tuple[ir.Node, ...] = ()
    touched: tuple[ir.Node, ...] = ()

    def __add__(self, other: Plan) -> Plan:
        return Plan(
            self.edits + other.edits,
            self.absorbers + other.absorbers,
            self.composed + other.composed,
            self.touched + other.touched,
        )

    def beside(self, other: Plan) -> Plan | str:
        """Both, where two branches are folded: a node that both change would lose one of the changes."""
        shared = set(self.touched) & set(other.touched)
        if shared:
            return f"two branches lead to the same {shared.pop().op_type}"
        return self + other


def absorbed(node: ir.Node, new: Constants, *, counts: bool = True) -> Plan | str:
    """Give the node constants of its own, in the types of the old ones, where they can hold them."""
    first = node.inputs[next(iter(new))]
    if first is None or first.dtype is None:
        return "the type of its weight is not known"
    like = first.dtype
    if not like.is_floating_point():
        return "its weight holds integers"
    for index, numbers in new.items():
        with np.errstate(all="ignore"):
            rounded = numbers.astype(like.numpy())
        if not np.isfinite(rounded.astype(np.float64)).all():
            role = "weight" if index == 1 else "constant"
            return f"the folded {role} would overflow {like.name.lower()}"
    if node.op_type not in ("Add",) and not _needs_bias(node, new):
        new.pop(2, None)

    def edit(names: Names) -> None:
        for index, numbers in new.items():
            set_constant(node, index, numbers, like, names)

    return Plan((edit,), (node,) if counts else (), (), (node,))


def _needs_bias(node: ir.Node, new: Constants) -> bool:
    """A bias that is all zeros is not added where there was none."""
    had = len(node.inputs) > 2 and node.inputs[2] is not None
    return had or bool(np.any(new.get(2, np.zeros(1))))
