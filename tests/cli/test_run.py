import json

import numpy as np
import onnx
import pytest
import torch
from torch import nn

GRAPH = """<ir_version: 8, opset_import: ["" : 18]>
g (float[N,3] x) => (float[N,3] y) <float[3] w = {1.0, 2.0, 3.0}> {y = Mul(x, w)}"""
X = np.float32([[1, 2, 3], [4, 5, 6], [7, 8, 9]])


@pytest.fixture
def one(tmp_path):
    onnx.save(onnx.parser.parse_model(GRAPH), tmp_path / "one.onnx")
    return str(tmp_path / "one.onnx")


@pytest.fixture
def x(tmp_path):
    np.savez(tmp_path / "x.npz", x=X)
    return str(tmp_path / "x.npz")


def test_the_outputs_are_shown_and_written(bnexport, one, x, tmp_path):
    outcome = bnexport("run", one, "--inputs", x, "-o", str(tmp_path / "y.npz"), "--batch", "2")
    assert outcome.code == 0
    assert "y       3x3    float32    1   27" in outcome.out
    assert f"wrote     {tmp_path / 'y.npz'} (outputs)" in outcome.out
    with np.load(tmp_path / "y.npz") as stored:
        np.testing.assert_array_equal(stored["y"], X * np.float32([1, 2, 3]))


def test_the_document(bnexport, one, x):
    found = json.loads(bnexport("run", one, "--inputs", x, "--json", "--batch", "2").out)
    assert (found["schema"], found["model"], found["output"]) == ("bnexport.run/1", one, None)
    assert (found["inputs"], found["batches"]) == ({"x": [3, 3]}, [2, 1])
    told = {"shape": [3, 3], "dtype": "float32", "min": 1.0, "max": 27.0, "nan": 0, "inf": 0}
    assert found["outputs"] == {"y": told}


def test_a_converted_type_is_noted(bnexport, one, tmp_path):
    np.savez(tmp_path / "x.npz", x=X.astype(np.float64))
    outcome = bnexport("run", one, "--inputs", str(tmp_path / "x.npz"))
    assert "input 'x': float64 read as float32" in outcome.out


def test_an_architecture_with_its_weights(bnexport, tmp_path):
    net = nn.Linear(3, 2)
    torch.save(net.state_dict(), tmp_path / "net.pt")
    np.save(tmp_path / "x.npy", X)
    arch = ("--arch", "torch.nn:Linear", "--arch-args", '{"in_features": 3, "out_features": 2}')
    model, given = str(tmp_path / "net.pt"), ("--inputs", str(tmp_path / "x.npy"))
    found = json.loads(bnexport("run", model, *given, *arch, "--json").out)
    assert found["outputs"]["output"]["shape"] == [3, 2]


def test_no_model_is_a_usage_error(bnexport, x):
    outcome = bnexport("run", "--inputs", x)
    assert (outcome.code, outcome.out) == (2, "")
    assert "MODEL" in outcome.err


@pytest.mark.parametrize(
    ("arrays", "said"),
    [
        ({"z": X}, "it holds z, and the model takes x"),
        ({"x": X[:, :2]}, "it is 3x2, and the model takes Nx3"),
        ({"x": X.astype(np.int64)}, "it holds int64, and the model takes float32"),
        ({"x": X[:0]}, "it is empty"),
        ({}, "it holds no array"),
    ],
)
def test_inputs_that_do_not_fit_are_a_usage_error(bnexport, one, tmp_path, arrays, said):
    np.savez(tmp_path / "x.npz", **arrays)
    outcome = bnexport("run", one, "--inputs", str(tmp_path / "x.npz"))
    assert (outcome.code, outcome.out) == (2, "")
    assert said in outcome.err
    assert "Traceback" not in outcome.err


@pytest.mark.parametrize(
    ("content", "code"), [(None, 2), (b"", 3), (b"PK\x03\x04rest", 3), (b"\x93NUMPY\x01", 3)]
)
def test_inputs_that_cannot_be_read(bnexport, one, tmp_path, content, code):
    path = tmp_path / "x.npz"
    if content is not None:
        path.write_bytes(content)
    outcome = bnexport("run", one, "--inputs", str(path))
    assert (outcome.code, outcome.out) == (code, "")
    assert "x.npz" in outcome.err
    assert "Traceback" not in outcome.err


@pytest.mark.parametrize("output", ["x.npz", "one.onnx", "nowhere/y.npz", "."])
def test_an_output_that_cannot_be_written_is_a_usage_error(bnexport, one, x, tmp_path, output):
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    outcome = bnexport("run", one, "--inputs", x, "-o", str(tmp_path / output))
    assert outcome.code == 2
    assert "Traceback" not in outcome.err
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_missing_model_is_refused(bnexport, x):
    assert bnexport("run", "nowhere.onnx", "--inputs", x).code == 3
