"""Faults, each one edit of an ONNX file: what goes wrong between a trained network and what is deployed.

Edits act on the file of `fault_network`, half-way through. ``PLAIN`` ones on the file as captured, in which
BatchNorms stand; ``FOLDED`` ones on the folded file.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx
from onnx import helper, numpy_helper

__all__ = ["FOLDED", "PLAIN", "Edit"]

Edit = Callable[
    [onnx.GraphProto], str
]  # gives the value that is the first wrong one; empty: there is none


def _nodes(graph: onnx.GraphProto, operator: str) -> list[onnx.NodeProto]:
    return [node for node in graph.node if node.op_type == operator]


def _middle(graph: onnx.GraphProto, operator: str) -> onnx.NodeProto:
    found = _nodes(graph, operator)
    return found[len(found) // 2]


def _change(graph: onnx.GraphProto, name: str, edit: Callable[[np.ndarray], np.ndarray]) -> None:
    tensor = next(each for each in graph.initializer if each.name == name)
    old = numpy_helper.to_array(tensor)
    tensor.CopyFrom(numpy_helper.from_array(edit(old.copy()).astype(old.dtype), name))


def _set(node: onnx.NodeProto, **attributes: object) -> str:
    kept = [each for each in node.attribute if each.name not in attributes]
    del node.attribute[:]
    node.attribute.extend([*kept, *(helper.make_attribute(k, v) for k, v in attributes.items())])
    return str(node.output[0])


def _weight(operator: str, index: int, edit: Callable[[np.ndarray], np.ndarray]) -> Edit:
    def change(graph: onnx.GraphProto) -> str:
        node = _middle(graph, operator)
        _change(graph, node.input[index], edit)
        return str(node.output[0])

    return change


def _attributes(operator: str, **attributes: object) -> Edit:
    return lambda graph: _set(_middle(graph, operator), **attributes)


def _constant(graph: onnx.GraphProto, name: str, value: object, kind: type) -> str:
    graph.initializer.append(numpy_helper.from_array(np.asarray(value, kind), name))
    return name


def _behind(value: str, build: Callable[[onnx.GraphProto, str], list[onnx.NodeProto]]) -> Edit:
    """Put operators behind a value; what comes out takes its name. ``value``: an operator, or an output."""

    def change(graph: onnx.GraphProto) -> str:
        named = [node for node in graph.node if value in node.output]
        node = named[0] if named else _middle(graph, value)
        name = node.output[0]
        node.output[0] = f"{name}_as_it_was"
        nodes = build(graph, node.output[0])
        nodes[-1].output[0] = name
        place = list(graph.node).index(node) + 1
        rest = list(graph.node)[place:]
        del graph.node[place:]
        graph.node.extend([*nodes, *rest])
        return name

    return change


def _row(
    *steps: tuple[str, list[object], dict[str, object]],
) -> Callable[[onnx.GraphProto, str], list[onnx.NodeProto]]:
    """Operators one behind the other; an operand ``None`` is the value as it was, ``...`` the one before."""

    def build(graph: onnx.GraphProto, value: str) -> list[onnx.NodeProto]:
        nodes, last = list[onnx.NodeProto](), value
        for place, (operator, operands, attributes) in enumerate(steps):
            inputs = []
            for index, operand in enumerate(operands):
                if operand is None or operand is ...:
                    inputs.append(value if operand is None else last)
                elif isinstance(operand, str):
                    inputs.append(operand)
                else:
                    kind = np.int64 if isinstance(operand, list | int) else np.float32
                    inputs.append(_constant(graph, f"fault_{place}_{index}", operand, kind))
            last = f"fault_{place}"
            nodes.append(helper.make_node(operator, inputs, [last], **attributes))
        return nodes

    return build


def _swap_outputs(graph: onnx.GraphProto) -> str:
    first, second = graph.output
    saved = onnx.ValueInfoProto()
    saved.CopyFrom(first)
    first.CopyFrom(second)
    second.CopyFrom(saved)
    return ""


def _swap_contents(graph: onnx.GraphProto) -> str:
    """The names stay in their order, and hold one another's numbers."""
    names = [value.name for value in graph.output]
    turned = dict(zip(names, reversed(names), strict=True))
    for node in graph.node:
        node.input[:] = [turned.get(each, each) for each in node.input]
        node.output[:] = [turned.get(each, each) for each in node.output]
    return ""


def _lose_output(graph: onnx.GraphProto) -> str:
    del graph.output[1]
    return ""


def _freeze_batch(graph: onnx.GraphProto) -> str:
    for value in (*graph.input, *graph.output):
        value.type.tensor_type.shape.dim[0].Clear()
        value.type.tensor_type.shape.dim[0].dim_value = 1
    return ""


def _drop(operator: str) -> Edit:
    """The operator's reader reads what it read."""

    def change(graph: onnx.GraphProto) -> str:
        node = _middle(graph, operator)
        node.op_type = "Identity"
        del node.attribute[:]
        return str(node.output[0])

    return change


def _skip_lost(graph: onnx.GraphProto) -> str:
    node = _middle(graph, "Add")
    node.input[1] = node.input[0]
    return str(node.output[0])


def _swap_statistics(graph: onnx.GraphProto) -> str:
    norms = _nodes(graph, "BatchNormalization")
    first, second = norms[len(norms) // 2], norms[len(norms) // 2 + 2]
    for index in (3, 4):
        first.input[index], second.input[index] = second.input[index], first.input[index]
    return str(first.output[0])


def _batch_statistics(graph: onnx.GraphProto) -> str:
    """What an exporter writes for track_running_stats=False, or for one submodule left in train mode."""
    node = _middle(graph, "BatchNormalization")
    mean, var = f"{node.output[0]}_mean", f"{node.output[0]}_var"
    axes = _constant(graph, "fault_axes", [0, 2, 3], np.int64)
    flat = _constant(graph, "fault_flat", [-1], np.int64)
    x, eps = node.input[0], _constant(graph, "fault_eps", 1e-5, np.float32)
    names = [f"{node.output[0]}_{k}" for k in range(4)]
    extra = [
        helper.make_node("ReduceMean", [x, axes], [names[0]]),
        helper.make_node("Sub", [x, names[0]], [names[1]]),
        helper.make_node("Mul", [names[1], names[1]], [names[2]]),
        helper.make_node("ReduceMean", [names[2], axes], [names[3]]),
        helper.make_node("Reshape", [names[0], flat], [mean]),
        helper.make_node("Reshape", [names[3], flat], [var]),
    ]
    assert eps
    node.input[3], node.input[4] = mean, var
    place = list(graph.node).index(node)
    rest = list(graph.node)[place:]
    del graph.node[place:]
    graph.node.extend([*extra, *rest])
    return str(node.output[0])


def _bfloat16(numbers: np.ndarray) -> np.ndarray:
    bits = numbers.astype(np.float32).view(np.uint32)
    return ((bits + 0x8000) & 0xFFFF0000).view(np.float32)


def _one(change: Callable[[np.ndarray], None]) -> Callable[[np.ndarray], np.ndarray]:
    def edit(numbers: np.ndarray) -> np.ndarray:
        change(numbers)
        return numbers

    return edit


def _put(index: object, value: float) -> Callable[[np.ndarray], np.ndarray]:
    return _one(lambda numbers: numbers.__setitem__(index, value))


def _int8(numbers: np.ndarray) -> np.ndarray:
    step = np.abs(numbers).max() / 127
    return np.round(numbers / step) * step


ROWS = ([0], [-1], [0], [-1])  # of Slice: starts, ends, axes, steps
OF_SAMPLES = [0]
NAN = float("nan")

PLAIN: dict[str, Edit] = {
    "running_var x 1.01 in one layer": _weight("BatchNormalization", 4, lambda v: v * 1.01),
    "running_mean + 0.01 in one channel": _weight(
        "BatchNormalization", 3, _one(lambda m: m.__setitem__(3, m[3] + 0.01))
    ),
    "eps 1e-3 for 1e-5": _attributes("BatchNormalization", epsilon=1e-3),
    "gamma of one channel lost": _weight("BatchNormalization", 1, _put(3, 1.0)),
    "beta of one layer lost": _weight("BatchNormalization", 2, np.zeros_like),
    "statistics of two layers swapped": _swap_statistics,
    "BatchNorm with batch statistics": _batch_statistics,
    "variance taken for its root": _weight("BatchNormalization", 4, np.sqrt),
}

FOLDED: dict[str, Edit] = {
    "one weight off by a tenth": _weight(
        "Conv", 1, _one(lambda w: w.__setitem__((0, 0, 1, 1), w[0, 0, 1, 1] * 1.1 + 0.01))
    ),
    "bias of one channel lost": _weight("Conv", 2, _put(3, 0.0)),
    "bias of one layer lost": _weight("Conv", 2, np.zeros_like),
    "weight rounded to bfloat16": _weight("Conv", 1, _bfloat16),
    "weight rounded to float16": _weight("Conv", 1, lambda w: w.astype(np.float16)),
    "weight rounded to int8": _weight("Conv", 1, _int8),
    "kernel transposed": _weight("Conv", 1, lambda w: w.swapaxes(2, 3)),
    "in and out channels swapped": _weight("Conv", 1, lambda w: w.swapaxes(0, 1)),
    "two filters swapped": _weight("Conv", 1, lambda w: w[[1, 0, *range(2, len(w))]]),
    "kernel flipped": _weight("Conv", 1, lambda w: w[:, :, ::-1]),
    "head transposed": _weight("Gemm", 1, lambda w: w.T),
    "padding on the wrong side": _attributes("Conv", pads=[0, 0, 2, 2]),
    "dilation 2 for 1": _attributes("Conv", dilations=[2, 2], pads=[2, 2, 2, 2]),
    "padding counted in the average": lambda graph: _set(
        _middle(graph, "AveragePool"),
        count_include_pad=1 - helper.get_node_attr_value(_middle(graph, "AveragePool"), "count_include_pad"),
    ),
    "a Relu lost": _drop("Relu"),
    "LeakyRelu for Relu": lambda graph: _leaky(graph),
    "a shortcut lost": _skip_lost,
    "outputs swapped": _swap_outputs,
    "outputs swapped under their names": _swap_contents,
    "an output missing": _lose_output,
    "an output in float64": lambda graph: _typed(graph, onnx.TensorProto.DOUBLE),
    "an output through float16": _behind(
        "logits", _row(("Cast", [None], {"to": 10}), ("Cast", [...], {"to": 1}))
    ),
    "float16 that overflows": _behind(
        "Conv",
        _row(
            ("Mul", [None, 1e6], {}),
            ("Cast", [...], {"to": 10}),
            ("Cast", [...], {"to": 1}),
            ("Mul", [..., 1e-6], {}),
        ),
    ),
    "batch dimension frozen": _freeze_batch,
    "a Reshape to batch 1": _behind("features", _row(("Reshape", [None, [1, 16]], {}))),
    "squeezed at batch 1": _behind("logits", _row(("Squeeze", [None], {}))),
    "rows reversed": _behind(
        "logits", _row(("Slice", [None, [-1], [-1000], [0], [-1]], {}))
    ),
    "rows rolled by one": _behind("logits", lambda graph, value: _rolled(graph, value)),
    "NaN in one channel at batch N only": _behind("Conv", lambda graph, value: _nan_at_n(graph, value)),
    "NaN in one weight": _weight("Conv", 1, _put((0, 0, 0, 0), NAN)),
    "a mean over the batch taken off": _behind(
        "Conv", _row(("ReduceMean", [None, [0]], {}), ("Mul", [..., 1e-3], {}), ("Sub", [None, ...], {}))
    ),
    "softmax over the batch": _behind("logits", _row(("Softmax", [None], {"axis": 0}))),
    "a running sum over the batch": _behind("logits", _row(("CumSum", [None, 0], {}))),
    "the best of the batch taken off": _behind(
        "logits", _row(("ReduceMax", [None, [0]], {}), ("Sub", [None, ...], {}))
    ),
    "Dropout left live": _behind("features", lambda graph, value: _dropout(graph, value)),
    "noise in every run": _behind(
        "Conv", _row(("RandomNormalLike", [None], {"scale": 1e-3}), ("Add", [None, ...], {}))
    ),
    "an output of zeros": _behind("logits", _row(("Mul", [None, 0.0], {}))),
    "the first sample's answer for all": _behind(
        "logits", _row(("Slice", [None, [0], [1], [0]], {}), ("Mul", [None, 0.0], {}), ("Add", ["fault_0", ...], {}))
    ),
    "classes in another order": _behind(
        "logits", _row(("Gather", [None, [1, 0, *range(2, 16)]], {"axis": 1}))
    ),
}  # fmt: skip


def _leaky(graph: onnx.GraphProto) -> str:
    node = _middle(graph, "Relu")
    node.op_type = "LeakyRelu"
    return _set(node, alpha=0.01)


def _typed(graph: onnx.GraphProto, kind: int) -> str:
    graph.output[0].type.tensor_type.elem_type = kind
    return _behind("logits", _row(("Cast", [None], {"to": kind})))(graph) and ""


def _rolled(graph: onnx.GraphProto, value: str) -> list[onnx.NodeProto]:
    zero, one = (_constant(graph, f"fault_{k}", [k], np.int64) for k in (0, 1))
    end = _constant(graph, "fault_end", [1 << 30], np.int64)
    return [
        helper.make_node("Slice", [value, one, end, zero], ["fault_tail"]),
        helper.make_node("Slice", [value, zero, one, zero], ["fault_head"]),
        helper.make_node("Concat", ["fault_tail", "fault_head"], ["fault"], axis=0),
    ]


def _nan_at_n(graph: onnx.GraphProto, value: str) -> list[onnx.NodeProto]:
    one, zero = (_constant(graph, f"fault_{k}", k, np.int64) for k in (1, 0))
    bad = np.zeros((1, 16, 1, 1), np.float32)
    bad[0, 3] = NAN
    nan = _constant(graph, "fault_nan", bad, np.float32)
    good = _constant(graph, "fault_none", np.zeros_like(bad), np.float32)
    return [
        helper.make_node("Shape", [value], ["fault_shape"]),
        helper.make_node("Gather", ["fault_shape", zero], ["fault_count"]),
        helper.make_node("Greater", ["fault_count", one], ["fault_many"]),
        helper.make_node("Where", ["fault_many", nan, good], ["fault_added"]),
        helper.make_node("Add", [value, "fault_added"], ["fault"]),
    ]


def _dropout(graph: onnx.GraphProto, value: str) -> list[onnx.NodeProto]:
    ratio = _constant(graph, "fault_ratio", 0.1, np.float32)
    live = _constant(graph, "fault_live", True, np.bool_)
    return [helper.make_node("Dropout", [value, ratio, live], ["fault"])]
