"""A branch: a linear map of x that one Conv could compute, as taps on a grid of offsets.

    y[m, p] = sum over c, k of W[m, c, k] x[c, strides p + first + dilations k] + b[m]

Conv is one with first = -(its padding before); x itself and s x + t are the Conv 1x1 with W = diag(s), b = t.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import onnx_ir as ir

from bnexport.passes.graphs.affine import ChannelAffine
from bnexport.passes.graphs.graph import Array, array, is_constant, sizes
from bnexport.passes.graphs.linear import vector

__all__ = ["Branch", "of_affine", "of_conv"]

Ints = tuple[int, ...]


@dataclass(frozen=True)
class Branch:
    """A linear map of x.

    Attributes:
        weight: Shape (M, C / group, kernel...).
        bias: Shape (M,).
        group: Into how many parts the channels are divided.
        strides: By axis.
        dilations: By axis.
        first: The offset of the first tap, by axis.
        beyond: How far past x's last element the last tap may lie, by axis.
    """

    weight: Array
    bias: Array
    group: int
    strides: Ints
    dilations: Ints
    first: Ints
    beyond: Ints

    @property
    def work(self) -> int:
        """Multiplications for each place of the output."""
        return self.weight.size

    @property
    def last(self) -> Ints:
        """The offset of the last tap, by axis."""
        kernel = self.weight.shape[2:]
        return tuple(
            f + d * (k - 1) for f, d, k in zip(self.first, self.dilations, kernel, strict=True)
        )

    @property
    def pads(self) -> Ints:
        """As the attribute of a Conv."""
        ends = (beyond + last for beyond, last in zip(self.beyond, self.last, strict=True))
        return (*(-first for first in self.first), *ends)

    def negated(self) -> Branch:
        """-y."""
        return replace(self, weight=-self.weight, bias=-self.bias)

    def plus(self, other: Branch) -> Branch | None:
        """The sum as one branch; None where no one Conv computes it, or only with more work."""
        same_places = self.strides == other.strides and self.beyond == other.beyond
        if not same_places or len(self.bias) != len(other.bias):
            return None
        group = math.gcd(self.group, other.group)
        grids = [
            _grid(*axis)
            for axis in zip(self.first, self.last, self.dilations, other.first, other.last,
                            other.dilations, strict=True)
        ]  # fmt: skip
        kernel = tuple(len(grid) for grid in grids)
        channels = self.weight.shape[1] * self.group
        shape = (len(self.bias), channels // group, *kernel)
        if math.prod(shape) > self.work + other.work:
            return None
        weight = sum(branch._spread(grids, shape, group) for branch in (self, other))
        total = Branch(
            np.asarray(weight),
            self.bias + other.bias,
            group,
            self.strides,
            tuple(grid.step for grid in grids),
            tuple(grid.start for grid in grids),
            self.beyond,
        )
        return total if min(total.pads, default=0) >= 0 else None

    def _spread(self, grids: list[range], shape: Ints, group: int) -> Array:
        """The weight on the grids of a larger kernel, in fewer groups."""
        full = np.zeros(shape)
        kernel = self.weight.shape[2:]
        taps = [
            [grid.index(first + step * j) for j in range(size)]
            for grid, first, step, size in zip(
                grids, self.first, self.dilations, kernel, strict=True
            )
        ]
        width = self.weight.shape[1]
        for m in range(shape[0]):
            mine, theirs = m * self.group // shape[0], m * group // shape[0]
            start = mine * width - theirs * shape[1]
            full[np.ix_([m], range(start, start + width), *taps)] = self.weight[m]
        return full


def of_conv(node: ir.Node) -> Branch | None:
    """What a Conv computes of its first input; None where that is not fixed."""
    weight, bias = node.inputs[1], node.inputs[2] if len(node.inputs) > 2 else None
    if weight is None or not is_constant(weight) or not (bias is None or is_constant(bias)):
        return None
    w = array(weight)
    axes = w.ndim - 2
    ones = (1,) * axes
    dilations = tuple(node.attributes.get_ints("dilations", ones))
    strides = tuple(node.attributes.get_ints("strides", ones))
    reach = tuple(d * (k - 1) for d, k in zip(dilations, w.shape[2:], strict=True))
    pads = _pads(node, reach, strides)
    if pads is None:
        return None
    before, after = pads[:axes], pads[axes:]
    first = tuple(-p for p in before)
    beyond = tuple(a - (r - b) for a, r, b in zip(after, reach, before, strict=True))
    group = node.attributes.get_int("group", 1)
    b = np.broadcast_to(vector(bias), w.shape[0])
    return Branch(w, b, group, strides, dilations, first, beyond)


def of_affine(source: ir.Value, affine: ChannelAffine, group: int) -> Branch | None:
    """``affine`` of ``source``, which a Conv with ``group`` groups reads too."""
    shape = sizes(source)
    if shape is None or shape[1] is None:
        return None
    vectors = affine.along(1, shape[1])
    if vectors is None:
        return None
    axes, width = len(shape) - 2, shape[1] // group
    weight = np.zeros((shape[1], width))
    weight[np.arange(shape[1]), np.arange(shape[1]) % width] = vectors[0]
    ones, zeros = (1,) * axes, (0,) * axes
    return Branch(
        weight.reshape(shape[1], width, *ones), vectors[1], group, ones, ones, zeros, zeros
    )


def _pads(node: ir.Node, reach: Ints, strides: Ints) -> Ints | None:
    """The padding in full; None where it depends on the size of the input."""
    match node.attributes.get_string("auto_pad", "NOTSET"):
        case "NOTSET":
            return tuple(node.attributes.get_ints("pads", (0,) * 2 * len(reach)))
        case "VALID":
            return (0,) * 2 * len(reach)
        case how if set(strides) == {1}:
            less, more = tuple(r // 2 for r in reach), tuple(r - r // 2 for r in reach)
            return (*more, *less) if how == "SAME_LOWER" else (*less, *more)
    return None


def _grid(first: int, last: int, step: int, other: int, end: int, stride: int) -> range:
    """The offsets from the first to the last tap of both, on the coarsest grid that has them all."""
    steps = [step if last > first else 0, stride if end > other else 0, abs(first - other)]
    return range(min(first, other), max(last, end) + 1, math.gcd(*steps) or 1)
