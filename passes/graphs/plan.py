"""A plan: the edits that would fold an affine, made only when every part of it is possible."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import ml_dtypes
import numpy as np
import onnx_ir as ir

from bnexport.passes.graphs.affine import ChannelAffine
from bnexport.passes.graphs.biased import add_bias, leaves_add
from bnexport.passes.graphs.graph import Array, bypass, readers, set_constant
from bnexport.passes.graphs.naming import Names
from bnexport.passes.graphs.scaled import Scaled

__all__ = ["Absorbed", "Constants", "Plan", "Step", "absorbed", "appended", "composed"]

Edit = Callable[[Names], None]
Constants = dict[int, Array | Scaled]
# What an operator without a bias leaves to an Add behind it: along which axis of its output, what.
Absorbed = tuple[Constants, tuple[int, Array] | None] | str

LARGEST_GROWN = 1 << 16  # numbers that a constant may become where it was fewer
LARGEST_COPY = 1 << 22  # numbers of a constant that another operator reads, too
LARGEST_ROUNDING = 4.0  # of a row of a weight, in the unit roundoff of its type


@dataclass(frozen=True)
class Plan:
    """What would be done.

    Attributes:
        edits: To be made in order.
        absorbers: The linear operators that take the affine up.
        composed: Affine nodes on the way that are taken along, and so disappear.
        touched: Every node that the affine passes or changes; new constants are computed from old ones.
        adds: How many Adds it leaves.
    """

    edits: tuple[Edit, ...] = ()
    absorbers: tuple[ir.Node, ...] = ()
    composed: tuple[ir.Node, ...] = ()
    touched: tuple[ir.Node, ...] = ()
    adds: int = 0

    @property
    def pays(self) -> bool:
        """Whether it leaves no more operators than the affines that disappear."""
        return self.adds <= 1 + len(self.composed)

    def __add__(self, other: Plan) -> Plan:
        return Plan(
            self.edits + other.edits,
            self.absorbers + other.absorbers,
            self.composed + other.composed,
            self.touched + other.touched,
            self.adds + other.adds,
        )

    def beside(self, other: Plan) -> Plan | str:
        """Both; a node that both change would lose one of the changes."""
        shared = set(self.touched) & set(other.touched)
        if shared:
            return f"two branches meet in one {shared.pop().op_type}"
        return self + other


@dataclass(frozen=True)
class Step:
    """One way for one node to pass an affine on.

    Attributes:
        onward: Which of its inputs (on the way back) or outputs (forward) must become affine, and how.
        plan: What is done to the node itself.
        through: The node that stands for it there, where several in a row are passed in one.
    """

    onward: tuple[tuple[int, ChannelAffine], ...] = ()
    plan: Plan = Plan()
    through: ir.Node | None = None


def composed(node: ir.Node, index: int) -> Plan:
    """The node's own affine, of its input ``index``, is taken along."""
    return Plan((lambda names: bypass(node, index),), (), (node,), (node,))


def appended(node: ir.Node, vector: Array, axis: int | None) -> Plan:
    """An operator without a bias is given one."""
    adds = int(leaves_add(node))
    return Plan((lambda names: add_bias(node, vector, axis, names),), (), (), (node,), adds)


def absorbed(node: ir.Node, new: Constants, *, counts: bool = True) -> Plan | str:
    """Give the node constants of its own, in the types of the old ones, where they can hold them."""
    likes = _types(node, new)
    if likes is None:
        return "the type of its weight is not known"
    for index, numbers in new.items():
        role = "weight" if index == 1 else "constant"
        if obstacle := _grows(node, index, numbers):
            return obstacle
        if loss := _loss(numbers, likes[index]):
            return f"the folded {role} would {loss} {likes[index].name.lower()}"
    if node.op_type not in ("Add",) and not _needs_bias(node, new):
        new.pop(2, None)

    def edit(names: Names) -> None:
        for index, numbers in new.items():
            set_constant(node, index, numbers, likes[index], names)

    return Plan((edit,), (node,) if counts else (), (), (node,))


def _grows(node: ir.Node, index: int, new: Array | Scaled) -> str:
    """What would make the file much larger to save one operator."""
    old = node.inputs[index] if index < len(node.inputs) else None
    if old is None or old.const_value is None:
        return ""
    size = old.const_value.size
    if new.size > max(size, LARGEST_GROWN):
        return f"a constant of the {node.op_type} would grow to {new.size} numbers"
    if size > LARGEST_COPY and len(readers(old)) > 1:
        return (
            f"the {node.op_type} shares a constant of {size} numbers, which it would need a copy of"
        )
    return ""


def _types(node: ir.Node, new: Constants) -> dict[int, ir.DataType] | None:
    """Each operand's own, for a BatchNormalization may mix two; of one that is not there yet, the first one's."""
    old = {index: node.inputs[index] for index in new if index < len(node.inputs)}
    types = {index: value.dtype for index, value in old.items() if value is not None}
    first = types.get(next(iter(new)))
    if first is None:
        return None
    return {index: types.get(index) or first for index in new}


def _loss(numbers: Array | Scaled, like: ir.DataType) -> str:
    """What rounding to ``like`` would lose beyond its precision: a row that is large, or tiny, throughout."""
    if isinstance(numbers, Scaled):
        if like == numbers.base.dtype and numbers.bound() < float(np.finfo(like.numpy()).max):
            return ""
        numbers = numbers.numbers()
    with np.errstate(all="ignore"):
        rounded = numbers.astype(like.numpy()).astype(np.float64)
    if not np.isfinite(rounded).all():
        return "overflow"
    if like.itemsize >= 4 or numbers.ndim < 2:  # weight decay leaves rows next to zero in float32
        return ""
    unit = float(ml_dtypes.finfo(like.numpy()).eps) / 2  # type: ignore[no-untyped-call]
    for axis in (0, 1):
        rest = tuple(a for a in range(numbers.ndim) if a != axis)
        size, error = (np.sqrt((x**2).sum(rest)) for x in (numbers, rounded - numbers))
        if np.any(error > LARGEST_ROUNDING * unit * size):
            return "underflow"
    return ""


def _needs_bias(node: ir.Node, new: Constants) -> bool:
    """A bias that is all zeros is not added where there was none."""
    had = len(node.inputs) > 2 and node.inputs[2] is not None
    return had or bool(np.any(_small(new.get(2))))


def _small(numbers: Array | Scaled | None) -> Array:
    if isinstance(numbers, Scaled):
        return numbers.numbers()
    return np.zeros(1) if numbers is None else numbers
