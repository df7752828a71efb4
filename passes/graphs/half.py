"""Float32 to half precision, node by node: a strongly typed runtime computes in what the graph says."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir
import onnx_ir.passes.common as common

from bnexport.passes.graphs.contract import GraphPass
from bnexport.passes.graphs.graph import is_constant
from bnexport.passes.graphs.half_rules import TITLES, Slots, is_single, obstacle, slots
from bnexport.passes.graphs.naming import Names, kind_of, module_of
from bnexport.passes.graphs.unread import DropUnread

__all__ = ["LowerPrecision", "Single"]

_NONE = Slots(frozenset(), frozenset())


@dataclass(frozen=True)
class Single:
    """A node that stays in float32.

    Attributes:
        value: Its first output.
        module: The qualified name of its module; empty where none is known.
        kind: The class of that module.
        operator: Its type.
        reason: Why.
    """

    value: str
    module: str
    kind: str
    operator: str
    reason: str


class LowerPrecision(GraphPass):
    """Let every node compute in half precision but those that cannot, or shall not.

    Casts stand where the two meet, one a value. The graph's inputs and outputs keep their names, and
    float32, unless ``io``. A weight is rounded to the type once; a graph that has other floating types
    than float32 keeps those parts as they are.

    Args:
        dtype: FLOAT16 or BFLOAT16.
        stays: Why a node shall stay in float32; empty: it need not.
        record: Called with every node that stays and had a choice.
        io: Whether the graph's own inputs and outputs become half, too.
    """

    def __init__(
        self,
        dtype: ir.DataType,
        stays: Callable[[ir.Node], str] = lambda node: "",
        *,
        record: Callable[[Single], None] = lambda single: None,
        io: bool = False,
    ) -> None:
        super().__init__()
        self._dtype, self._stays, self._record, self._io = dtype, stays, record, io

    def ensures(self, model: ir.Model) -> None:
        """As for every pass; with ``io`` the interface is meant to change."""
        if not self._io:
            super().ensures(model)

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Lower in place."""
        common.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0)(model)
        plan = {node: self._slots(node) for node in model.graph}
        if not any(each.inputs or each.outputs for each in plan.values()):
            return ir.passes.PassResult(model, False)
        lowering = _Lowering(model.graph, self._dtype, plan)
        if self._io:
            lowering.lower_inputs()
        lowering.run()
        lowering.outputs(self._dtype if self._io else ir.DataType.FLOAT)
        DropUnread()(model)
        return ir.passes.PassResult(model, True)

    def _slots(self, node: ir.Node) -> Slots:
        if _is_boundary(node) or not any(map(is_single, (*node.inputs, *node.outputs))):
            return _NONE
        found = slots(node, self._dtype)
        reason = obstacle(node, self._dtype) or self._stays(node)
        if not reason and not (found.inputs or found.outputs):
            reason = f"ONNX has no {node.op_type} of {TITLES[self._dtype]}"
        if not reason:
            return found
        value = node.outputs[0].name or ""
        self._record(Single(value, module_of(node), kind_of(node), node.op_type, reason))
        return _NONE


class _Lowering:
    """The edits to one graph. Types are replaced, never changed: a clone of the model shares them."""

    def __init__(self, graph: ir.Graph, dtype: ir.DataType, plan: dict[ir.Node, Slots]) -> None:
        self._graph, self._dtype, self._plan = graph, dtype, plan
        self._names = Names(graph)
        self._first = next(iter(plan))
        # Float32 as the model came: the types of values are changed under way.
        values = [*graph.inputs, *graph.initializers.values()]
        values += [value for node in plan for value in node.outputs]
        self._single = [value for value in values if is_single(value)]

    def lower_inputs(self) -> None:
        """Give the graph's inputs the type."""
        for value in self._graph.inputs:
            if is_single(value):
                value.type = ir.TensorType(self._dtype)
                if value.const_value is not None:  # its default
                    value.const_value = self._rounded(value.const_value, value.name or "")

    def run(self) -> None:
        """Give every output of the plan the type, and every reader what it reads."""
        for node, planned in self._plan.items():
            for index in planned.outputs:
                node.outputs[index].type = ir.TensorType(self._dtype)
            if planned.outputs:
                _retype(node, self._dtype)
        for value in self._single:
            self._serve(value)

    def outputs(self, dtype: ir.DataType) -> None:
        """Let the graph's outputs be of this type, under the names that they have."""
        for index, value in enumerate(self._graph.outputs):
            if value not in self._single or value.dtype == dtype or value.producer() is None:
                continue
            name = value.name
            value.name = self._names.fresh(f"{name}_{_suffix(value.dtype)}")
            cast = self._cast(value, dtype, name or "")
            self._graph.outputs[index] = cast

    def _serve(self, value: ir.Value) -> None:
        """Hand those who read the other type a cast, or a constant, of it."""
        other: ir.Value | None = None
        for use in tuple(value.uses()):
            half = use.idx in self._plan.get(use.node, _NONE).inputs
            wanted = self._dtype if half else ir.DataType.FLOAT
            if value.dtype == wanted:
                continue
            if other is None:
                other = self._twin(value, wanted)
            use.node.replace_input_with(use.idx, other)

    def _twin(self, value: ir.Value, dtype: ir.DataType) -> ir.Value:
        name = self._names.fresh(f"{value.name}_{_suffix(dtype)}")
        if dtype == self._dtype and is_constant(value) and value.const_value is not None:
            return self._constant(value, self._rounded(value.const_value, name))
        return self._cast(value, dtype, name)

    def _constant(self, value: ir.Value, tensor: ir.TensorProtocol) -> ir.Value:
        kind = ir.TensorType(tensor.dtype)
        twin = ir.Value(name=tensor.name, shape=value.shape, type=kind, const_value=tensor)
        self._graph.register_initializer(twin)
        return twin

    def _rounded(self, tensor: ir.TensorProtocol, name: str) -> ir.TensorProtocol:
        with np.errstate(over="ignore", under="ignore"):
            return ir.tensor(tensor.numpy().astype(self._dtype.numpy()), self._dtype, name)

    def _cast(self, value: ir.Value, dtype: ir.DataType, name: str) -> ir.Value:
        producer = value.producer()
        node = ir.node("Cast", [value], {"to": dtype.value}, version=None)
        (twin,) = node.outputs
        twin.name, twin.shape, twin.type = name, value.shape, ir.TensorType(dtype)
        if producer is None:
            self._graph.insert_before(self._first, node)
        else:
            node.metadata_props.update(producer.metadata_props)
            self._graph.insert_after(producer, node)
        return twin


def _is_boundary(node: ir.Node) -> bool:
    """A cast from or to half precision is where the two meet already."""
    values = (*node.inputs, *node.outputs)
    return node.op_type == "Cast" and any(value.dtype in TITLES for value in values if value)


def _retype(node: ir.Node, dtype: ir.DataType) -> None:
    """Where an attribute says what comes out."""
    name = "to" if node.op_type == "Cast" else "dtype"
    if name in node.attributes:
        node.attributes[name] = ir.AttrInt64(name, dtype.value)
    elif node.op_type == "ConstantOfShape":
        given = node.attributes.get("value")
        number = given.as_tensor().numpy() if given is not None else np.zeros(1, np.float32)
        tensor = ir.tensor(number.astype(dtype.numpy()), dtype)
        node.attributes["value"] = ir.AttrTensor("value", tensor)


def _suffix(dtype: ir.DataType | None) -> str:
    return TITLES.get(dtype, "float32") if dtype is not None else "float32"
