"""Random graphs of the operators that folding knows, and of those that stand in its way.

A graph is drawn operator by operator and computed as it grows: an operator that does not suit the values that
there are raises, and another one is drawn. Shapes are small and sizes repeat, so that axes are easily confused.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper
from reference import evaluate

__all__ = ["OPERATORS", "Sketch", "Unsuited", "operator"]

BATCH = 2
OPSET = 18
LARGEST = 3000  # numbers in a value
TYPES = {np.float32: onnx.TensorProto.FLOAT, np.float64: onnx.TensorProto.DOUBLE}


class Unsuited(Exception):
    """An operator cannot follow here."""


class Sketch:
    """A graph under construction, every value of which is known.

    Attributes:
        random: Where every choice comes from.
        arrays: Every value, by name.
        recent: The values that operators may read, oldest first.
    """

    def __init__(self, source: random.Random, dtype: type = np.float64) -> None:
        self.random = source
        self.dtype = dtype
        self.arrays: dict[str, np.ndarray] = {}
        self.recent: list[str] = []
        self.inputs: list[str] = []
        self._nodes: list[onnx.NodeProto] = []
        self._constants: dict[str, np.ndarray] = {}
        self._numbers = np.random.default_rng(source.randrange(1 << 16))

    def input(self, *sample: int) -> str:
        """A new input of the graph: numbers, of any batch."""
        name = f"x{len(self.inputs)}"
        self.arrays[name] = self._draw((BATCH, *sample))
        self.inputs.append(name)
        self.recent.append(name)
        return name

    def indices(self, rows: int, *sample: int) -> str:
        """A new input of the graph: indices into ``rows``."""
        name = f"i{len(self.inputs)}"
        self.arrays[name] = self._numbers.integers(0, rows, (BATCH, *sample))
        self.inputs.append(name)
        return name

    def shape(self, name: str) -> tuple[int, ...]:
        return self.arrays[name].shape

    def chance(self, probability: float) -> bool:
        return self.random.random() < probability

    def pick(self, choices: Sequence[Any]) -> Any:
        if not choices:
            raise Unsuited
        return choices[self.random.randrange(len(choices))]

    def numbers(self, *shape: int, positive: bool = False) -> str:
        """A constant: drawn, or one of the same kind that others read as well."""
        alike = [
            name
            for name, array in self._constants.items()
            if array.shape == shape and array.dtype == self.dtype and (name[0] == "v") == positive
        ]
        if alike and self.chance(0.1):
            return str(self.pick(alike))
        array = self._draw(shape)
        if positive:
            array = np.abs(array) + self.dtype(0.1)
        elif self.chance(0.1):
            array = np.full(shape, self.pick([0, 1, -1, 0.5]), self.dtype)
        elif array.size and self.chance(0.1):
            array.flat[self.random.randrange(array.size)] = 0
        return self._constant("v" if positive else "c", array)

    def integers(self, *numbers: int) -> str:
        return self._constant("n", np.array(numbers, np.int64))

    def node(self, op: str, *inputs: str, outputs: int = 1, **attributes: Any) -> Any:
        """Append an operator and compute it: the name of its output, or the names.

        Raises:
            Unsuited: It does not suit its inputs.
        """
        names = [f"{op[0].lower()}{len(self._nodes)}_{index}" for index in range(outputs)]
        node = helper.make_node(op, inputs, names, name=f"node{len(self._nodes)}", **attributes)
        known = {name: self.arrays[name] for name in inputs if name}
        try:
            arrays = evaluate(node, known)
        except (ValueError, IndexError, TypeError, RuntimeError, AssertionError) as error:
            raise Unsuited from error
        for array in arrays:
            if not 0 < array.size <= LARGEST or not np.abs(array).max() < 1e6:
                raise Unsuited
        self._nodes.append(node)
        self.arrays.update(zip(names, arrays, strict=True))
        return names[0] if outputs == 1 else names

    def grow(self, steps: int) -> None:
        """Draw operators until ``steps`` of them suited."""
        taken, tries = 0, 0
        while taken < steps and tries < 6 * steps:
            tries += 1
            add = self.pick(OPERATORS)
            mark = len(self._nodes)
            try:
                results = add(self, self._source())
            except Unsuited:
                del self._nodes[mark:]
                continue
            self.recent += [results] if isinstance(results, str) else results
            taken += 1

    def model(self) -> onnx.ModelProto:
        """Its outputs are the values that nothing reads, and now and then one that is read."""
        read = {name for node in self._nodes for name in node.input}
        made = [name for node in self._nodes for name in node.output]
        outputs = [name for name in made if name not in read]
        if made and self.chance(0.25):
            outputs = list(dict.fromkeys([*outputs, self.pick(made)]))
        written = [name for name in self._constants if name in read and self.chance(0.2)]
        nodes = [
            helper.make_node("Constant", [], [name], value=self._tensor(name)) for name in written
        ]
        kept = [name for name in self._constants if name in read and name not in written]
        graph = helper.make_graph(
            [*nodes, *self._nodes],
            "drawn",
            [self._info(name, ("N", *self.shape(name)[1:])) for name in self.inputs],
            [
                self._info(name, [f"{name}_{axis}" for axis in range(self.arrays[name].ndim)])
                for name in outputs
            ],
            [self._tensor(name) for name in kept],
        )
        opset = [helper.make_opsetid("", OPSET)]
        return helper.make_model(graph, ir_version=10, opset_imports=opset)

    def _source(self) -> str:
        """Mostly the last value: what lies in a row is what folds."""
        if self.chance(0.65):
            return self.recent[-1]
        return str(self.pick(self.recent))

    def _draw(self, shape: tuple[int, ...]) -> np.ndarray:
        return self._numbers.standard_normal(shape).astype(self.dtype)

    def _constant(self, prefix: str, array: np.ndarray) -> str:
        name = f"{prefix}{len(self._constants)}"
        self._constants[name] = self.arrays[name] = array
        return name

    def _tensor(self, name: str) -> onnx.TensorProto:
        return numpy_helper.from_array(self._constants[name], name)

    def _info(self, name: str, shape: Sequence[int | str]) -> onnx.ValueInfoProto:
        kind = helper.np_dtype_to_tensor_dtype(self.arrays[name].dtype)
        return helper.make_tensor_value_info(name, kind, shape)


Operator = Callable[[Sketch, str], "str | list[str]"]
OPERATORS: list[Operator] = []


def operator(weight: int) -> Callable[[Operator], Operator]:
    """List an operator, as often as ``weight`` says."""

    def listed(add: Operator) -> Operator:
        OPERATORS.extend([add] * weight)
        return add

    return listed
