"""ONNX files: what is written reads back the same, and the model in memory is left alone."""

import hashlib
import tracemalloc

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime as ort
import pytest

from bnexport import __version__
from bnexport.errors import ExportError, OutputError
from bnexport.targets import onnx as target
from bnexport.targets.onnx import weight_bytes, write_onnx

TEXT = """<ir_version: 10, opset_import: ["" : 20]>
g (float[N,4,8,8] x) => (float[N,64,6,6] y) { c = Conv (x, w) y = Add (c, b) }"""


@pytest.fixture
def model():
    draw = np.random.default_rng(0)
    proto = onnx.parser.parse_model(TEXT)
    for name, shape in {"w": (64, 4, 3, 3), "b": (64, 1, 1)}.items():
        array = draw.standard_normal(shape).astype(np.float32)
        proto.graph.initializer.append(onnx.numpy_helper.from_array(array, name))
    return ir.from_proto(proto)


def run(path):
    x = np.random.default_rng(1).standard_normal((2, 4, 8, 8)).astype(np.float32)
    return ort.InferenceSession(str(path), providers=["CPUExecutionProvider"]).run(None, {"x": x})[
        0
    ]


def test_a_small_model_is_one_file(model, tmp_path):
    assert write_onnx(model, tmp_path / "m.onnx") == (tmp_path / "m.onnx",)
    assert [path.name for path in tmp_path.iterdir()] == ["m.onnx"]


def test_external_data_gives_the_same_numbers(model, tmp_path):
    write_onnx(model, tmp_path / "one.onnx")
    main, _ = write_onnx(model, tmp_path / "two.onnx", external_data=True)
    onnx.checker.check_model(str(main), full_check=True)
    np.testing.assert_array_equal(run(main), run(tmp_path / "one.onnx"))


def test_the_data_file_is_named_by_its_hash_and_lies_beside(model, tmp_path):
    main, data = write_onnx(model, tmp_path / "m.onnx", external_data=True)
    digest = hashlib.sha256(data.read_bytes()).hexdigest()
    assert data == tmp_path / f"m.{digest[:16]}.data"
    proto = onnx.load(main, load_external_data=False)
    places = {
        e.value for t in proto.graph.initializer for e in t.external_data if e.key == "location"
    }
    assert places == {data.name}
    assert {path.name for path in tmp_path.iterdir()} == {main.name, data.name}


def test_the_model_is_left_as_it_was(model, tmp_path):
    tensors = {name: value.const_value for name, value in model.graph.initializers.items()}
    before = model.producer_name, model.producer_version
    write_onnx(model, tmp_path / "m.onnx", external_data=True)
    assert all(model.graph.initializers[name].const_value is t for name, t in tensors.items())
    assert (model.producer_name, model.producer_version) == before


def test_bnexport_signs(model, tmp_path):
    write_onnx(model, tmp_path / "m.onnx")
    proto = onnx.load(tmp_path / "m.onnx")
    assert (proto.producer_name, proto.producer_version) == ("bnexport", __version__)


def test_writing_twice_gives_the_same_bytes(model, tmp_path):
    first = [p.read_bytes() for p in write_onnx(model, tmp_path / "m.onnx", external_data=True)]
    again = [p.read_bytes() for p in write_onnx(model, tmp_path / "m.onnx", external_data=True)]
    assert first == again


def test_a_model_that_was_read_with_external_data_is_written_whole(model, tmp_path):
    main, data = write_onnx(model, tmp_path / "m.onnx", external_data=True)
    want = run(main)
    read = ir.load(main)
    (copy,) = write_onnx(read, tmp_path / "copy.onnx", external_data=False)
    data.unlink()
    np.testing.assert_array_equal(run(copy), want)


def test_large_tensors_start_at_a_page(model, tmp_path):
    main, _ = write_onnx(model, tmp_path / "m.onnx", external_data=True)
    proto = onnx.load(main, load_external_data=False)
    weight = next(t for t in proto.graph.initializer if t.name == "w")
    assert int({e.key: e.value for e in weight.external_data}["offset"]) % 4096 == 0


def test_a_model_over_the_limit_gets_external_data(model, tmp_path, monkeypatch):
    monkeypatch.setattr(target, "SINGLE_FILE_LIMIT", weight_bytes(model) - 1)
    assert len(write_onnx(model, tmp_path / "m.onnx")) == 2


def test_one_file_over_the_limit_is_refused(model, tmp_path, monkeypatch):
    monkeypatch.setattr(target, "SINGLE_FILE_LIMIT", weight_bytes(model) - 1)
    with pytest.raises(ExportError, match="--external-data"):
        write_onnx(model, tmp_path / "m.onnx", external_data=False)
    assert not list(tmp_path.iterdir())


def test_bytes_of_weights_are_counted(model):
    assert weight_bytes(model) == 4 * (64 * 4 * 9 + 64)


def test_a_file_that_cannot_be_written_is_an_output_error(model, tmp_path):
    (tmp_path / "f").write_bytes(b"")
    with pytest.raises(OutputError, match=r"m\.onnx"):
        write_onnx(model, tmp_path / "f" / "m.onnx")


def test_weights_are_streamed(tmp_path):
    size, count = 1 << 20, 32
    values = []
    for index in range(count):
        tensor = ir.LazyTensor(
            lambda: ir.tensor(np.ones(size, np.float32)),
            dtype=ir.DataType.FLOAT,
            shape=ir.Shape([size]),
            name=f"w{index}",
        )
        values.append(ir.Value(name=f"w{index}", const_value=tensor))
    graph = ir.Graph([], [], nodes=[], initializers=values, opset_imports={"": 20}, name="g")
    tracemalloc.start()
    write_onnx(ir.Model(graph, ir_version=10), tmp_path / "m.onnx", external_data=True)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4 * 4 * size  # a few tensors at once, of 32
