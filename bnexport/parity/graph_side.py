"""A graph of which any value can be asked: only what that value needs is run, and only that value is held."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property

import onnx

from bnexport.metadata import MODULE
from bnexport.parity.arrays import Array, Arrays
from bnexport.parity.nudge import nudged
from bnexport.parity.onnx_runner import OnnxRunner

__all__ = ["GraphSide"]

NUDGES = 2


class GraphSide:
    """An ONNX model, run piece by piece with every optimiser of ONNX Runtime off.

    Args:
        model: With its weights; not changed.
        provider: ``cpu`` or ``cuda``.
        inputs: The names of those that it will be given, in order; as in `Named`.
    """

    def __init__(
        self, model: onnx.ModelProto, *, provider: str = "cpu", inputs: Sequence[str] = ()
    ) -> None:
        self._model, self._provider = model, provider
        self._constants = {each.name: each for each in model.graph.initializer}
        declared = [each for each in model.graph.input if each.name not in self._constants]
        by_name = {each.name: each for each in declared}
        same = sorted(inputs) == sorted(by_name)
        self._inputs = [by_name[name] for name in inputs] if same else declared

    @cached_property
    def makers(self) -> dict[str, onnx.NodeProto]:
        """The node that gives each value, in the order of the graph."""
        return {name: node for node in self._model.graph.node for name in node.output if name}

    @cached_property
    def _shapes(self) -> dict[str, Sequence[onnx.TensorShapeProto.Dimension]]:
        every = (*self._model.graph.value_info, *self._model.graph.output)
        typed = ((value.name, value.type.tensor_type) for value in every)
        return {name: tensor.shape.dim for name, tensor in typed if tensor.HasField("shape")}

    @property
    def outputs(self) -> tuple[str, ...]:
        """The names of the graph's outputs."""
        return tuple(value.name for value in self._model.graph.output)

    def sources(self, name: str) -> set[str]:
        """The values of other nodes that the node of this one reads."""
        return {each for each in _read(self.makers[name]) if each in self.makers}

    def reads(self, name: str) -> list[tuple[int, str]]:
        """What the node of this value reads that is no constant, with its places."""
        inputs = enumerate(self.makers[name].input)
        return [(place, each) for place, each in inputs if each and each not in self._constants]

    def readers(self) -> dict[str, list[str]]:
        """Of each value, those whose nodes read it."""
        found: dict[str, list[str]] = {name: [] for name in self.makers}
        for name in self.makers:
            for source in self.sources(name):
                found[source].append(name)
        return found

    def fits(self, name: str, shape: Sequence[int]) -> bool:
        """Whether the file, where it says something of the value's shape, says nothing else."""
        if name not in self._shapes:
            return True
        dims = self._shapes[name]
        return len(dims) == len(shape) and all(
            not dim.HasField("dim_value") or dim.dim_value == size
            for dim, size in zip(dims, shape, strict=True)
        )

    @property
    def inputs(self) -> tuple[str, ...]:
        """The names of the graph's inputs, in the order in which they are given."""
        return tuple(each.name for each in self._inputs)

    def operator(self, name: str) -> str:
        """The operator that gives the value."""
        return str(self.makers[name].op_type)

    def layer(self, name: str) -> str:
        """The qualified name of the module that it comes from; empty where the file does not say."""
        properties = self.makers[name].metadata_props
        return next((each.value for each in properties if each.key == MODULE), "")

    def place(self, name: str) -> str:
        """``layer 'head', Gemm 'linear'``."""
        layer = self.layer(name)
        return f"{f'layer {layer!r}, ' if layer else ''}{self.operator(name)} {name!r}"

    def value(self, name: str, inputs: Arrays) -> Array:
        """The value.

        Raises:
            RunFailed: ONNX Runtime cannot run that part of the graph.
        """
        return self._values(name, [inputs])[0]

    def truth(self, name: str, inputs: Arrays) -> tuple[Array, Sequence[Array]]:
        """The value, and what becomes of it where the inputs are moved by one unit in the last place."""
        truth, *rounded = self._values(name, [inputs, *(nudged(inputs, n) for n in range(NUDGES))])
        return truth, rounded

    def alone(self, name: str, values: Mapping[str, Array]) -> Array:
        """The value, of its node alone.

        Args:
            name: Of the value.
            values: What the node reads that is no constant.

        Raises:
            RunFailed: ONNX Runtime cannot run it.
        """
        node = self.makers[name]
        graph = onnx.GraphProto(name=self._model.graph.name)
        graph.node.append(node)
        graph.initializer.extend(
            self._constants[each] for each in node.input if each in self._constants
        )
        for each, array in values.items():
            kind = onnx.helper.np_dtype_to_tensor_dtype(array.dtype)
            graph.input.append(onnx.helper.make_tensor_value_info(each, kind, array.shape))
        part = self._model_of(graph, name)
        with OnnxRunner(
            part.SerializeToString(), provider=self._provider, optimise=False
        ) as runner:
            return runner.run(tuple(values.values()))[0]

    def _values(self, name: str, inputs: Sequence[Arrays]) -> list[Array]:
        part, used = self._part(name)
        runner = OnnxRunner(part.SerializeToString(), provider=self._provider, optimise=False)
        del part
        with runner:
            return [runner.run(tuple(each[i] for i in used))[0] for each in inputs]

    def _part(self, name: str) -> tuple[onnx.ModelProto, list[int]]:
        """The model that gives this value alone, and which of the inputs it reads."""
        nodes, constants, inputs = self._needed(name)
        used = [i for i, each in enumerate(self._inputs) if each.name in inputs]
        graph = onnx.GraphProto(name=self._model.graph.name)
        graph.node.extend(node for node in self._model.graph.node if id(node) in nodes)
        graph.input.extend(self._inputs[i] for i in used)
        graph.initializer.extend(self._constants[each] for each in constants)
        return self._model_of(graph, name), used

    def _model_of(self, graph: onnx.GraphProto, output: str) -> onnx.ModelProto:
        graph.output.append(onnx.helper.make_empty_tensor_value_info(output))
        part = onnx.ModelProto(ir_version=self._model.ir_version, graph=graph)
        part.opset_import.extend(self._model.opset_import)
        part.functions.extend(self._model.functions)
        return part

    def _needed(self, name: str) -> tuple[set[int], list[str], set[str]]:
        waiting, seen, nodes = [name], set[str](), set[int]()
        while waiting:
            each = waiting.pop()
            if each in seen:
                continue
            seen.add(each)
            if each in self.makers:
                nodes.add(id(self.makers[each]))
                waiting += _read(self.makers[each])
        return nodes, [each for each in self._constants if each in seen], seen


def _read(node: onnx.NodeProto) -> Iterator[str]:
    """What a node reads, the values that its subgraphs take from outside among them."""
    yield from filter(None, node.input)
    for attribute in node.attribute:
        for graph in (attribute.g, *attribute.graphs):
            for inner in graph.node:
                yield from _read(inner)
            yield from (value.name for value in graph.output)
