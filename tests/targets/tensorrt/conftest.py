"""A small network and an installed TensorRT-RTX, as on a machine without a GPU."""

import numpy as np
import onnx
import pytest

from bnexport.targets.tensorrt import find_flavour, flavour, options

TEXT = """<ir_version: 10, opset_import: ["" : 20]> g (float[N,4,8,8] x) => (float[N,6,6,6] y) {
    c = Conv (x, w)
    n = BatchNormalization (c, g, b, m, v)
    y = Relu (n)
}"""
SHAPES = {"w": (6, 4, 3, 3), "g": (6,), "b": (6,), "m": (6,), "v": (6,)}


def parsed(text, **shapes):
    draw = np.random.default_rng(0)
    proto = onnx.parser.parse_model(text)
    for name, shape in shapes.items():
        array = np.abs(draw.standard_normal(shape)).astype(np.float32) + 0.1
        proto.graph.initializer.append(onnx.numpy_helper.from_array(array, name))
    return proto


@pytest.fixture
def write(tmp_path):
    """Write ONNX text to a file."""

    def write(text=TEXT, name="m.onnx", **shapes):
        onnx.save(parsed(text, **(shapes or (SHAPES if text is TEXT else {}))), tmp_path / name)
        return tmp_path / name

    return write


@pytest.fixture
def no_gpu(monkeypatch):
    for module in (flavour, options):
        monkeypatch.setattr(module, "find_gpu", lambda: "no CUDA device")


@pytest.fixture
def rtx(no_gpu):
    pytest.importorskip("tensorrt_rtx")
    return find_flavour("trt-rtx")
