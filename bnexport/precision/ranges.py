"""How large each value of a graph becomes: one run, one number kept of each."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import onnx

from bnexport.parity.arrays import Arrays
from bnexport.parity.onnx_runner import OnnxRunner

__all__ = ["largest"]

Proto = onnx.ModelProto


def largest(model: Proto, inputs: Iterable[Arrays], names: Sequence[str]) -> dict[str, float]:
    """The largest magnitude of each float32 value that a node makes.

    The graph reduces each value itself, so that none is held longer than it is needed.

    Args:
        model: In float32, with the types of its values inferred; not changed.
        inputs: The batches.
        names: Of the inputs, in order; as in `Named`.

    Raises:
        RunFailed: ONNX Runtime cannot run the graph.
    """
    watched, content = _watched(model)
    found = dict.fromkeys(watched, 0.0)
    runner = OnnxRunner(content, optimise=False)
    runner.take(names)
    with runner:
        for arrays in inputs:
            peaks = runner.run(arrays)[-len(watched) :] if watched else ()
            for name, peak in zip(watched, peaks, strict=True):
                found[name] = _larger(found[name], float(peak))
    return found


def _larger(a: float, b: float) -> float:
    """NaN is beyond everything."""
    return a if a >= b or np.isnan(a) else b


def _watched(model: Proto) -> tuple[list[str], bytes]:
    watching = Proto()
    watching.CopyFrom(model)
    graph = watching.graph
    typed = (*graph.value_info, *graph.output)
    single = {each.name for each in typed if _is_single(each)}
    made = [name for node in graph.node for name in node.output if name in single]
    for index, name in enumerate(made):
        size, peak = f"bnexport.size.{index}", f"bnexport.peak.{index}"
        graph.node.append(onnx.helper.make_node("Abs", [name], [size]))
        graph.node.append(onnx.helper.make_node("ReduceMax", [size], [peak], keepdims=0))
        graph.output.append(onnx.helper.make_tensor_value_info(peak, onnx.TensorProto.FLOAT, ()))
    content: bytes = watching.SerializeToString()
    return made, content


def _is_single(value: onnx.ValueInfoProto) -> bool:
    return bool(value.type.tensor_type.elem_type == onnx.TensorProto.FLOAT)
