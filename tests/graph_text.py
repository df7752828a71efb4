"""Graphs as ONNX text: free names become random constants of the shapes that the test gives them."""

from __future__ import annotations

import zlib

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime as ort
from onnx_ir.passes.common import LiftConstantsToInitializersPass

HEAD = '<ir_version: 10, opset_import: ["" : 18]> agraph '


def graph(text: str, dtype: str = "float", **shapes: tuple[int, ...]) -> ir.Model:
    """Parse ``text``; every name in ``shapes`` becomes a constant, drawn by its name; ``v*`` is positive."""
    proto = onnx.parser.parse_model(HEAD + text.replace("float[", f"{dtype}["))
    numpy_type = {"float": np.float32, "double": np.float64, "float16": np.float16}[dtype]
    for name, shape in shapes.items():
        numbers = np.random.default_rng(zlib.crc32(name.encode())).standard_normal(shape)
        numbers = np.abs(numbers) + 0.1 if name.startswith("v") else numbers
        tensor = onnx.numpy_helper.from_array(np.asarray(numbers, numpy_type), name)
        proto.graph.initializer.append(tensor)
    onnx.checker.check_model(proto, full_check=True)
    inferred = onnx.shape_inference.infer_shapes(proto, data_prop=True)
    model = ir.from_proto(inferred)
    LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0)(model)
    return model


def feeds(model: ir.Model, batch: int, seed: int = 0) -> dict[str, np.ndarray]:
    """Random inputs; a free axis is the batch."""
    rng, result = np.random.default_rng(seed), {}
    for value in model.graph.inputs:
        assert value.shape is not None
        assert value.dtype is not None
        shape = [size if isinstance(size, int) else batch for size in value.shape]
        if value.dtype.is_floating_point():
            result[value.name] = rng.standard_normal(shape).astype(value.dtype.numpy())
        elif value.dtype == ir.DataType.BOOL:
            result[value.name] = rng.random(shape) < 0.5
        else:
            result[value.name] = rng.integers(0, 5, shape).astype(value.dtype.numpy())
    return result


def run(model: ir.Model, inputs: dict[str, np.ndarray]) -> list[np.ndarray]:
    """In ONNX Runtime with every optimiser off: what it folds itself would test nothing."""
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4
    proto = ir.to_proto(model)
    onnx.checker.check_model(proto, full_check=True)
    session = ort.InferenceSession(proto.SerializeToString(), options)
    return session.run(None, inputs)


def ops(model: ir.Model) -> list[str]:
    """The operators, in order."""
    return [node.op_type for node in model.graph]
