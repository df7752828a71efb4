import onnx
import pytest

from bnexport.inputs import Examples, InputSpec

GRAPH = """<ir_version: 8, opset_import: ["" : 18]>
g (float[N,3] x) => (float[N,3] y) <float[3] w = {%s}> {y = Mul(x, w)}"""
# The root of what may be negative.
NAN = """<ir_version: 8, opset_import: ["" : 18]>
g (float[N,3] x) => (float[N,3] y) {y = Sqrt(x)}"""
NARROW = """<ir_version: 8, opset_import: ["" : 18]>
g (float[N,3] x) => (float[N] y) <int64[1] axes = {1}> {y = ReduceSum <keepdims=0> (x, axes)}"""
FROZEN = """<ir_version: 8, opset_import: ["" : 18]>
g (float[4,3] x) => (float[4,3] y) {y = Relu(x)}"""


@pytest.fixture
def save(tmp_path):
    def put(name, text):
        onnx.save(onnx.parser.parse_model(text), tmp_path / name)
        return tmp_path / name

    return put


@pytest.fixture
def one(save):
    return save("one.onnx", GRAPH % "1.0, 2.0, 3.0")


@pytest.fixture
def two(save):
    return save("two.onnx", GRAPH % "3.0, 2.0, 1.0")


@pytest.fixture
def frozen(save):
    return save("frozen.onnx", FROZEN)


@pytest.fixture
def nan(save):
    return save("nan.onnx", NAN)


@pytest.fixture
def narrow(save):
    return save("narrow.onnx", NARROW)


@pytest.fixture
def rows():
    return Examples((InputSpec("x", (None, 3)),))
