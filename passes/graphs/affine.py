"""The one noun of folding: y = scale * x + shift along one axis, and its spellings in a graph.

    BatchNormalization:  scale = gamma / sqrt(var + epsilon),  shift = beta - scale * mean
    x * c, x / c, x + c, x - c, c - x  with a constant c that varies along one axis at most
    -x

Evaluated in float64.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import onnx_ir as ir

from bnexport.passes.graphs.graph import (
    Array,
    Indices,
    array,
    is_constant,
    is_floating,
    is_read,
    operands,
    sizes,
)

__all__ = ["ChannelAffine", "can_undo", "elementwise", "is_steady", "is_training", "read"]

# How far a mean may lie from 0 in standard deviations: four bits of the mantissa.
LARGEST_MEAN = 16.0
# The same where nothing is known of x: (x - 127.5) / 58 on bytes must pass.
LARGEST_SHIFT = 256.0

ELEMENTWISE = ("Mul", "Div", "Add", "Sub")


@dataclass(frozen=True)
class ChannelAffine:
    """y = scale * x + shift.

    Attributes:
        axis: The axis along which ``scale`` and ``shift`` run; None where both are one number.
        scale: Shape (C,), or (1,) where ``axis`` is None.
        shift: As ``scale``.
    """

    axis: int | None
    scale: Array
    shift: Array

    @staticmethod
    def identity() -> ChannelAffine:
        """Y = x."""
        return ChannelAffine(None, np.ones(1), np.zeros(1))

    def after(self, inner: ChannelAffine) -> ChannelAffine | None:
        """self(inner(x)); None where the two run along different axes."""
        if None not in (self.axis, inner.axis) and self.axis != inner.axis:
            return None
        axis = inner.axis if self.axis is None else self.axis
        scale, shift = self.scale * inner.scale, self.scale * inner.shift + self.shift
        scale, shift = np.broadcast_arrays(scale, shift)
        return ChannelAffine(axis, scale, shift)

    def along(self, axis: int, channels: int) -> tuple[Array, Array] | None:
        """Scale and shift as vectors along ``axis``; None where they run along another one."""
        if self.axis not in (None, axis) or len(self.scale) not in (1, channels):
            return None
        return np.broadcast_to(self.scale, channels), np.broadcast_to(self.shift, channels)

    def on(self, axis: int | None) -> ChannelAffine:
        """The same numbers along another axis."""
        return ChannelAffine(axis, self.scale, self.shift)

    def at(self, axis: int, index: Indices) -> ChannelAffine:
        """What the channels ``index`` get, along ``axis``."""
        if self.axis is None:
            return self
        return ChannelAffine(axis, self.scale[index], self.shift[index])

    def like(self, other: ChannelAffine) -> bool:
        """Whether the two are the same map."""
        return (
            self.axis == other.axis
            and np.array_equal(self.scale, other.scale)
            and np.array_equal(self.shift, other.shift)
        )

    def inverse(self) -> ChannelAffine:
        """X = (y - t) / s, for a scale without zeros."""
        return ChannelAffine(self.axis, 1 / self.scale, -self.shift / self.scale)

    @property
    def scaling(self) -> ChannelAffine:
        """Its scale alone."""
        return ChannelAffine(self.axis, self.scale, np.zeros_like(self.shift))

    @cached_property
    def shifts(self) -> bool:
        """Whether it does more than scale."""
        return bool((self.shift != 0).any())

    @cached_property
    def scales(self) -> bool:
        """Whether it does more than shift."""
        return bool((self.scale != 1).any())


def read(node: ir.Node) -> tuple[int, ChannelAffine] | str | None:
    """What ``node`` computes of which of its inputs; a sentence where it only looks affine; else None."""
    if node.domain not in ("", "ai.onnx"):
        return None
    if node.op_type == "BatchNormalization":
        return _read_batch_norm(node)
    if node.op_type in ELEMENTWISE:
        return elementwise(node)
    if node.op_type == "Neg" and is_floating(node.outputs[0]):
        return 0, ChannelAffine(None, -np.ones(1), np.zeros(1))
    return None


def is_training(node: ir.Node) -> bool:
    """Whether a BatchNormalization uses the statistics of the batch.

    Before opset 14 there was no such attribute: one that returned its statistics was training.
    """
    return bool(node.attributes.get_int("training_mode", 0)) or any(map(is_read, node.outputs[1:]))


def is_steady(node: ir.Node, affine: ChannelAffine) -> bool:
    """Whether W (s x + t) = (W s) x + W t loses nothing: not where both terms are large and cancel.

    A BatchNorm says what x is like: its mean, in standard deviations, is what is lost.
    """
    if node.op_type == "BatchNormalization":
        mean, var = (array(value) for value in operands(node)[3:5])
        epsilon = node.attributes.get_float("epsilon", 1e-5)
        return bool(np.all(np.abs(mean) <= LARGEST_MEAN * np.sqrt(var + epsilon)))
    return bool(np.all(np.abs(affine.shift) <= LARGEST_SHIFT * np.abs(affine.scale)))


def can_undo(node: ir.Node) -> bool:
    """Whether x can be had again from what a BatchNorm makes of it: its result has mean beta, deviation gamma."""
    if node.op_type != "BatchNormalization":
        return False
    gamma, beta = (array(value) for value in operands(node)[1:3])
    return bool(np.all(gamma != 0) and np.all(np.abs(beta) <= LARGEST_MEAN * np.abs(gamma)))


def _read_batch_norm(node: ir.Node) -> tuple[int, ChannelAffine] | str:
    _, *parameters = operands(node)
    if is_training(node):
        return "it is in training mode: it normalises with the batch's own statistics"
    if not all(map(is_constant, parameters)):
        return "a parameter is not constant"
    gamma, beta, mean, var = map(array, parameters)
    if gamma.ndim != 1:  # spatial=0, before opset 9: each element of a sample has its own
        return "it normalises each element by itself"
    epsilon = node.attributes.get_float("epsilon", 1e-5)
    with np.errstate(all="ignore"):
        scale = gamma / np.sqrt(var + epsilon)
        shift = beta - scale * mean
    if not (np.isfinite(scale).all() and np.isfinite(shift).all()):
        return "its statistics give a scale that is not finite"
    return 0, ChannelAffine(1, scale, shift)


def elementwise(node: ir.Node, *, widens: int | None = None) -> tuple[int, ChannelAffine] | None:
    """What Mul, Div, Add or Sub with a constant computes; None where that is no affine along one axis.

    Args:
        node: The operator.
        widens: The axis along which the constant makes several channels of one, if it is to do so.
    """
    if node.op_type not in ELEMENTWISE or node.domain or not is_floating(node.outputs[0]):
        return None
    left, right = node.inputs
    if left is None or right is None or is_constant(left) == is_constant(right):
        return None
    source, constant = (right, left) if is_constant(left) else (left, right)
    vector = _along_one_axis(source, constant, widens)
    if vector is None:
        return None
    axis, c = vector
    match node.op_type, source is left:
        case "Mul", _:
            scale, shift = c, np.zeros_like(c)
        case "Div", True if bool(np.all(c != 0)):
            scale, shift = 1 / c, np.zeros_like(c)
        case "Add", _:
            scale, shift = np.ones_like(c), c
        case "Sub", True:
            scale, shift = np.ones_like(c), -c
        case "Sub", False:
            scale, shift = -np.ones_like(c), c
        case _:
            return None
    if not (np.isfinite(scale).all() and np.isfinite(shift).all()):
        return None
    return (0 if source is left else 1), ChannelAffine(axis, scale, shift)


def _along_one_axis(
    source: ir.Value, constant: ir.Value, widens: int | None
) -> tuple[int | None, Array] | None:
    """The axis of ``source`` along which ``constant`` varies, and its numbers.

    None where it varies along several, or where the constant would broadcast ``source`` instead:
    the shapes decide, never the number of elements alone.
    """
    shape = sizes(source)
    numbers = array(constant)
    if shape is None or numbers.ndim > len(shape):
        return None
    long = [axis for axis, size in enumerate(numbers.shape) if size != 1]
    if not long:
        return (None, numbers.reshape(1)) if widens is None else None
    axis = long[0] + len(shape) - numbers.ndim
    expected = 1 if axis == widens else numbers.size
    if len(long) > 1 or shape[axis] != expected or widens not in (None, axis):
        return None
    return axis, numbers.reshape(-1)
