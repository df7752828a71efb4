"""Large weights that are folded when they are written: until then a weight and the vector that scales it.

A network's folded weights would take as much memory again as its weights.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx_ir as ir

from bnexport.passes.graphs.graph import Array, is_constant

__all__ = ["Scaled", "ScaledTensor", "scaled"]

LEAST = 1 << 14  # numbers; smaller weights are no burden


@dataclass(frozen=True)
class Scaled:
    """``base * factor``, in float64 and rounded once.

    Attributes:
        base: The weight.
        factor: Of the weight's rank, each size the weight's or 1.
    """

    base: ir.TensorProtocol
    factor: Array

    @property
    def shape(self) -> tuple[int, ...]:
        """The weight's."""
        return tuple(self.base.shape.numpy())

    @property
    def ndim(self) -> int:
        """The weight's."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """The weight's."""
        return int(self.base.size)

    def bound(self) -> float:
        """No number is larger; NaN or Inf where one is not finite."""
        numbers = self.base.numpy()
        largest = max(float(numbers.max(initial=0.0)), -float(numbers.min(initial=0.0)))
        return largest * float(np.abs(self.factor).max(initial=0.0))

    def numbers(self) -> Array:
        """In float64."""
        return np.asarray(self.base.numpy() * self.factor)

    def tensor(self, name: str) -> ScaledTensor:
        """As a constant of a graph."""
        return ScaledTensor(self, name)


class ScaledTensor(ir.LazyTensor):
    """A `Scaled` as ONNX IR has tensors: computed each time that it is read."""

    def __init__(self, scaled: Scaled, name: str) -> None:
        self.scaled = scaled
        super().__init__(self._made, scaled.base.dtype, ir.Shape(scaled.shape), name=name)

    def _made(self) -> ir.Tensor[Any]:
        base = self.scaled.base.numpy()
        rounded = np.empty(base.shape, base.dtype)
        # In pieces: neither the weight nor the product is ever whole in float64.
        np.multiply(base, self.scaled.factor, out=rounded, dtype=np.float64, casting="same_kind")
        return ir.Tensor(rounded, name=self.name)


def scaled(weight: ir.Value, factor: Array) -> Scaled | Array:
    """A constant times a vector that is broadcast over it: at once where it is small, or not of float32."""
    tensor = weight.const_value
    if tensor is None or not is_constant(weight):
        raise ValueError(f"{weight.name} is not a constant")
    if tensor.dtype != ir.DataType.FLOAT or tensor.size < LEAST:
        return np.asarray(tensor.numpy().astype(np.float64) * factor)
    if isinstance(tensor, ScaledTensor):
        return Scaled(tensor.scaled.base, tensor.scaled.factor * factor)
    return Scaled(tensor, np.asarray(factor))
