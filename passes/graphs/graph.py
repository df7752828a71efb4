"""The few questions and edits that the graph passes share."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from bnexport.passes.graphs.naming import Names

__all__ = [
    "Array",
    "Indices",
    "append",
    "array",
    "bypass",
    "can_bypass",
    "has_axis",
    "insert_before",
    "integers",
    "is_constant",
    "is_floating",
    "is_read",
    "operands",
    "readers",
    "replace",
    "set_constant",
    "sizes",
    "static_product",
]

Array = npt.NDArray[np.float64]
Indices = npt.NDArray[np.intp]


class Written(Protocol):
    """Numbers that are computed when they are written."""

    def tensor(self, name: str) -> ir.TensorProtocol:
        """As a constant of a graph."""
        ...


def operands(node: ir.Node) -> list[ir.Value]:
    """The inputs that are present (ONNX writes an omitted optional input as None)."""
    return [value for value in node.inputs if value is not None]


def is_constant(value: ir.Value | None) -> bool:
    """Whether the value is fixed. An initializer that is also a graph input is only a default."""
    return value is not None and value.const_value is not None and not value.is_graph_input()


def is_floating(value: ir.Value) -> bool:
    """Whether the value holds real numbers."""
    return value.dtype is not None and value.dtype.is_floating_point()


def is_read(value: ir.Value) -> bool:
    """Whether anything needs the value: a node, or the graph as its output."""
    return bool(value.uses()) or value.is_graph_output()


def readers(value: ir.Value) -> list[tuple[ir.Node, int]]:
    """Who reads the numbers, and as which input. A Shape or Size reads none."""
    return [
        (use.node, use.idx) for use in value.uses() if use.node.op_type not in ("Shape", "Size")
    ]


def integers(node: ir.Node, index: int, attribute: str = "") -> list[int] | None:
    """A constant input of whole numbers; None where it is absent or not constant.

    Args:
        node: The operator.
        index: Which of its inputs.
        attribute: What an older opset has in the place of that input.
    """
    if attribute in node.attributes:
        return list(node.attributes.get_ints(attribute))
    value = node.inputs[index] if len(node.inputs) > index else None
    if value is None or value.const_value is None or not is_constant(value):
        return None
    return [int(number) for number in value.const_value.numpy().reshape(-1)]


def array(value: ir.Value) -> Array:
    """A constant, in float64."""
    if value.const_value is None:
        raise ValueError(f"{value.name} is not a constant")
    return value.const_value.numpy().astype(np.float64)


def sizes(value: ir.Value) -> tuple[int | None, ...] | None:
    """The shape, None for each size that is not fixed; None where even the rank is unknown."""
    if value.shape is None:
        return None
    return tuple([size if isinstance(size, int) else None for size in value.shape.dims])


def alike(a: ir.Value, b: ir.Value) -> bool:
    """Whether both are known to have the same sizes."""
    if a.shape is None or b.shape is None or len(a.shape) != len(b.shape):
        return False
    return all(map(same_size, a.shape, b.shape))


def same_size(a: int | ir.SymbolicDim, b: int | ir.SymbolicDim) -> bool:
    """Two sizes that are not known, and have no name, may be any two."""
    return bool(a == b) and (isinstance(a, int) or a.value is not None)


def has_axis(value: ir.Value, whole: ir.Value, axis: int | None) -> bool:
    """Whether ``value``, an operand of ``whole``, has ``axis`` in full; it may broadcast along others."""
    if axis is None:
        return True
    here, there = sizes(value), sizes(whole)
    if here is None or there is None or len(here) != len(there):
        return False
    return here[axis] is not None and here[axis] == there[axis]


def static_product(shape: Sequence[int | None]) -> int | None:
    """The number of elements, where every size is fixed."""
    fixed = [size for size in shape if size is not None]
    return math.prod(fixed) if len(fixed) == len(shape) else None


def set_constant(
    node: ir.Node, index: int, new: Array | Written, like: ir.DataType, names: Names
) -> None:
    """Make input ``index`` a constant of the node's own, rounded once from float64 to ``like``."""
    role = _ROLES.get((node.op_type, index), f"input{index}")
    name = names.fresh(f"{node.outputs[0].name}.{role}")
    if isinstance(new, np.ndarray | np.generic):  # what NumPy makes of arrays without axes
        numbers = np.asarray(new, like.numpy(), order="C")
        tensor: ir.TensorProtocol = ir.Tensor(numbers, dtype=like, name=name)
    else:
        tensor = new.tensor(name)
    value = ir.val(name, const_value=tensor)
    _graph_of(node).register_initializer(value)
    node.resize_inputs(max(index + 1, len(node.inputs)))
    node.replace_input_with(index, value)


_ROLES = {
    ("BatchNormalization", 1): "weight",
    ("BatchNormalization", 2): "bias",
    ("BatchNormalization", 3): "running_mean",
    ("BatchNormalization", 4): "running_var",
    ("Conv", 1): "weight",
    ("Conv", 2): "bias",
    ("ConvTranspose", 1): "weight",
    ("ConvTranspose", 2): "bias",
    ("Gemm", 1): "weight",
    ("Gemm", 2): "bias",
}


def bypass(node: ir.Node, index: int) -> None:
    """Remove ``node``: who read its first output reads its input ``index``."""
    source, result = node.inputs[index], node.outputs[0]
    graph = _graph_of(node)
    if source is None:
        raise ValueError(f"{node.name} has no input {index}")
    if not result.is_graph_output():
        result.replace_all_uses_with(source)
        graph.remove(node, safe=True)
    elif not can_bypass(node, index):
        replace(node, ir.node("Identity", [source]))
    else:  # the output keeps its name, which is the model's interface
        result.replace_all_uses_with(source, replace_graph_outputs=True)
        graph.remove(node, safe=True)
        source.name, source.shape, source.type = result.name, result.shape, result.type


def can_bypass(node: ir.Node, index: int) -> bool:
    """Whether nothing need stay: an output cannot take over the name of an input or another output."""
    source = node.inputs[index]
    producer = source.producer() if source is not None else None
    if source is None or not node.outputs[0].is_graph_output():
        return source is not None
    return producer is not None and producer.graph is node.graph and not source.is_graph_output()


def replace(node: ir.Node, new: ir.Node) -> None:
    """Put ``new`` in the place of ``node``; its first output takes over, name included."""
    old, result = node.outputs[0], new.outputs[0]
    graph, name = _graph_of(node), old.name
    result.shape, result.type = old.shape, old.type
    new.metadata_props.update(node.metadata_props)
    graph.insert_before(node, new)
    old.replace_all_uses_with(result, replace_graph_outputs=True)
    graph.remove(node, safe=True)
    result.name = name


def insert_before(
    node: ir.Node,
    new: ir.Node,
    shape: Sequence[int | None],
    dtype: ir.DataType,
    role: str,
    names: Names,
) -> None:
    """Put ``new``, whose output has that shape and type, before ``node``; named after it and the role."""
    value = new.outputs[0]
    value.name = names.fresh(f"{node.outputs[0].name}.{role}")
    value.shape, value.type = ir.Shape(shape), ir.TensorType(dtype)
    new.metadata_props.update(node.metadata_props)
    _graph_of(node).insert_before(node, new)


def append(op: str, node: ir.Node, vector: Array, axis: int | None, names: Names) -> None:
    """Put Add or Mul with ``vector`` along ``axis`` behind ``node``, whose readers then read its result."""
    result = node.outputs[0]
    if result.shape is None or result.dtype is None:
        raise ValueError(f"the shape of {result.name} is not known")
    new = ir.node(op, [None, None], metadata_props=dict(node.metadata_props))
    total = new.outputs[0]
    total.shape, total.type = result.shape, result.type
    result.replace_all_uses_with(total, replace_graph_outputs=True)
    total.name, result.name = result.name, names.fresh(f"{result.name}.before_{op.lower()}")
    _graph_of(node).insert_after(node, new)
    new.replace_input_with(0, result)
    behind = 0 if axis is None else len(result.shape) - axis - 1
    set_constant(new, 1, vector.reshape(-1, *[1] * behind), result.dtype, names)


def _graph_of(node: ir.Node) -> ir.Graph:
    if not isinstance(node.graph, ir.Graph):
        raise TypeError(
            f"{node.name} is in no graph; functions are inlined before they are rewritten"
        )
    return node.graph
