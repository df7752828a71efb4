"""Check the graph of an ONNX file: known operators in an order that can run, names that are used once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import onnx

from bnexport.load.errors import Corrupt, TooLarge, Unsafe, Unsupported
from bnexport.load.limits import Limits
from bnexport.load.onnx_tensors import TensorCheck, known_type

__all__ = ["GraphCheck"]

_DOMAINS = frozenset(("", "ai.onnx", "ai.onnx.ml", "com.microsoft"))
_ENGINE = ("com.microsoft", "EPContext")
_MAX_DEPTH = 16
_MAX_LENGTH = 1 << 40
_Function = tuple[str, str]


class GraphCheck:
    """Walks every graph, subgraph and local function of one file.

    Args:
        path: The file's name, for messages.
        proto: The file; external data is read into it.
        tensors: Checks the tensors.
        limits: The bounds.
    """

    def __init__(
        self, path: str, proto: onnx.ModelProto, tensors: TensorCheck, limits: Limits
    ) -> None:
        self._path, self._proto, self._tensors, self._limits = path, proto, tensors, limits
        self._functions = {(function.domain, function.name) for function in proto.functions}
        self._sizes: dict[_Function, int] = {}

    def check(self) -> None:
        """Check everything.

        Raises:
            Unsupported: An operator is not of a known domain.
            Unsafe: A node would load an engine from elsewhere.
            Corrupt: A name is missing or used twice, or a tensor is malformed.
            TooLarge: There are too many nodes, or subgraphs nest too deeply.
        """
        if len(self._functions) != len(self._proto.functions):
            raise Corrupt(self._path, "two local functions of one name")
        for function in self._proto.functions:
            inner = f"function {function.name[:40]!r}"
            self._nodes(function.node, set(function.input), set(), inner, 1)
        self._graph(self._proto.graph, frozenset(), 0)
        self._count_inlined()

    def _graph(self, graph: onnx.GraphProto, outer: Iterable[str], depth: int) -> None:
        if depth > _MAX_DEPTH:
            raise TooLarge(self._path, f"subgraphs nest more than {_MAX_DEPTH} deep")
        if graph.sparse_initializer:
            raise Unsupported(self._path, "sparse weights")
        for tensor in graph.initializer:
            where = f"the weight {tensor.name[:60]!r}"
            self._tensors.check(tensor, where, main=depth == 0)
        for value in (*graph.input, *graph.output, *graph.value_info):
            self._value(value)
        weights = self._names([tensor.name for tensor in graph.initializer], "a weight")
        inputs = self._names([value.name for value in graph.input], "an input")
        own = weights | inputs
        made = self._nodes(graph.node, own | set(outer), own, "", depth)
        for value in graph.output:
            if value.name not in made:
                raise Corrupt(self._path, f"the output {value.name[:60]!r} is never computed")

    def _names(self, names: list[str], kind: str) -> set[str]:
        if len(set(names)) != len(names) or "" in names:
            raise Corrupt(self._path, f"{kind} without a name, or two of one name")
        return set(names)

    def _value(self, value: onnx.ValueInfoProto) -> None:
        tensor = value.type.tensor_type
        if not value.type.HasField("tensor_type"):
            return
        lengths = [axis.dim_value for axis in tensor.shape.dim if axis.HasField("dim_value")]
        if any(not 0 <= length <= _MAX_LENGTH for length in lengths):
            raise Corrupt(self._path, f"the value {value.name[:60]!r} has an implausible shape")
        # Shape inference leaves the element type of some intermediate values open.
        if tensor.elem_type and not known_type(tensor.elem_type):
            why = f"the value {value.name[:60]!r} is of element type {tensor.elem_type}"
            raise Unsupported(self._path, why)

    def _nodes(
        self,
        nodes: Iterable[onnx.NodeProto],
        available: set[str],
        own: set[str],
        inside: str,
        depth: int,
    ) -> set[str]:
        """Check nodes in order; the names that stand after the last."""
        made = set(own)
        for node in nodes:
            where = f"the node {node.name[:40]!r} ({node.op_type[:40]})"
            where = f"{where} of {inside}" if inside else where
            self._operator(node, where)
            for name in node.input:
                if name and name not in available:
                    why = f"{where} reads {name[:60]!r}, which nothing before it computes"
                    raise Corrupt(self._path, why)
            for attribute in node.attribute:
                self._attribute(attribute, available, where, depth)
            for name in filter(None, node.output):
                if name in made:
                    raise Corrupt(self._path, f"{where} computes {name[:60]!r} a second time")
                made.add(name)
                available.add(name)
        return available

    def _operator(self, node: onnx.NodeProto, where: str) -> None:
        if (node.domain, node.op_type) in self._functions:
            return
        if node.domain not in _DOMAINS:
            why = f"{where} is a custom operator of domain {node.domain[:40]!r}"
            raise Unsupported(self._path, why, "Export the model with standard operators only")
        if (node.domain, node.op_type) == _ENGINE:
            raise Unsafe(
                self._path, f"{where} loads an engine file", "Use the model it was made of"
            )

    def _attribute(
        self, attribute: onnx.AttributeProto, available: set[str], where: str, depth: int
    ) -> None:
        if attribute.type == onnx.AttributeProto.UNDEFINED and not attribute.ref_attr_name:
            raise Corrupt(self._path, f"{where} has an attribute without a type")
        if attribute.HasField("sparse_tensor") or attribute.sparse_tensors:
            raise Unsupported(self._path, f"{where} has a sparse attribute")
        if attribute.HasField("t"):
            self._tensors.check(attribute.t, where)
        for tensor in attribute.tensors:
            self._tensors.check(tensor, where)
        graphs = [attribute.g] if attribute.HasField("g") else []
        for graph in (*graphs, *attribute.graphs):
            self._graph(graph, set(available), depth + 1)

    def _count_inlined(self) -> None:
        """Local functions may call each other: never in a circle, and not to more nodes than the limit."""
        bodies = {(body.domain, body.name): body.node for body in self._proto.functions}
        total = self._inlined(self._proto.graph.node, bodies, ())
        if total > self._limits.nodes:
            raise TooLarge(self._path, "it holds too many nodes", "nodes")

    def _inlined(
        self,
        nodes: Iterable[onnx.NodeProto],
        bodies: Mapping[_Function, Iterable[onnx.NodeProto]],
        active: tuple[_Function, ...],
    ) -> int:
        total = 0
        for node in nodes:
            key = (node.domain, node.op_type)
            if key in active or len(active) > _MAX_DEPTH:
                raise Corrupt(self._path, f"the local function {key[1]!r} calls itself")
            if key in bodies and key not in self._sizes:
                self._sizes[key] = self._inlined(bodies[key], bodies, (*active, key))
            total += self._sizes.get(key, 1)
            for attribute in node.attribute:
                graphs = [attribute.g] if attribute.HasField("g") else []
                for graph in (*graphs, *attribute.graphs):
                    total += self._inlined(graph.node, bodies, active)
        return total
