"""Draw a graph, fold it, and say what is wrong with the result."""

from __future__ import annotations

import random

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime as ort
import random_operators  # noqa: F401 - lists the operators
from random_graphs import Sketch
from reference import evaluate

from bnexport.passes.graphs import pipeline

__all__ = ["draw", "folded", "wrong"]

SHAPES = [(4, 6, 6), (4, 6, 6), (6, 6, 6), (3, 5, 4), (4, 7), (6, 6), (6,), (1, 6, 6)]
STEPS = range(3, 13)
FREE = ("Constant", "Reshape")  # cost nothing to run
LIMITS = {
    np.float64: 1e-5,
    np.float32: 1e-3,
}  # of the largest number; the weights of a Resize are float32


def draw(source: random.Random) -> Sketch:
    """A graph: four of five in double precision, where a fault cannot pass for rounding."""
    sketch = Sketch(source, np.float32 if source.random() < 0.2 else np.float64)
    shape = SHAPES[source.randrange(len(SHAPES))]
    sketch.input(*shape)
    if source.random() < 0.2:
        sketch.input(*shape)
    sketch.grow(STEPS[source.randrange(len(STEPS))])
    return sketch


def folded(model: onnx.ModelProto | ir.Model) -> ir.Model:
    """What the pipeline makes of it; onnxsim is not ours to test."""
    result = model if isinstance(model, ir.Model) else ir.from_proto(model)
    for step in pipeline(lambda fate: None, simplify=False):
        result = step(result).model
    return result


def wrong(sketch: Sketch, before: onnx.ModelProto, after: ir.Model) -> str:
    """The first thing that is wrong with ``after``; empty: nothing is."""
    proto = ir.to_proto(after)
    onnx.checker.check_model(proto, full_check=True)
    if _interface(before.graph) != _interface(proto.graph):
        return f"the interface became {_interface(proto.graph)}"
    count = sum(node.op_type not in FREE for node in before.graph.node)
    if sum(node.op_type not in FREE for node in proto.graph.node) > count:
        return f"there are more operators than {count}"
    again = folded(after.clone())
    if _operators(again) != _operators(after):
        return f"a second run makes {_operators(again)} of {_operators(after)}"
    feeds = {name: sketch.arrays[name] for name in sketch.inputs}
    outputs = (
        _in_onnxruntime(proto, feeds) if sketch.dtype is np.float32 else evaluate(proto, feeds)
    )
    for value, array in zip(before.graph.output, outputs, strict=True):
        expected = sketch.arrays[value.name]
        if array.shape != expected.shape or array.dtype != expected.dtype:
            return f"{value.name} became {array.dtype}{array.shape}"
        error = np.abs(array.astype(np.float64) - expected).max()
        largest = np.abs(expected).max()
        if not error <= LIMITS[sketch.dtype] * max(largest, 0.1):
            return f"{value.name} is off by {error:.1e} of {largest:.1e}"
    return ""


def _interface(graph: onnx.GraphProto) -> list[tuple[str, int, int]]:
    return [
        (value.name, value.type.tensor_type.elem_type, len(value.type.tensor_type.shape.dim))
        for value in [*graph.input, *graph.output]
    ]


def _operators(model: ir.Model) -> list[str]:
    return [node.op_type for node in model.graph]


def _in_onnxruntime(proto: onnx.ModelProto, feeds: dict[str, np.ndarray]) -> list[np.ndarray]:
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    results: list[np.ndarray] = ort.InferenceSession(proto.SerializeToString(), options).run(
        None, feeds
    )
    return results
