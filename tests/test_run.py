import errno
import os

import numpy as np
import onnx
import pytest
import torch
from torch import nn

import bnexport
from bnexport import run
from bnexport.errors import MissingRuntime, OutputError, Refused, UsageError
from bnexport.inputs import parse_input
from bnexport.parity.runner import RunFailed
from bnexport.targets.cuda import find_gpu
from models import residual_classifier, siamese

MUL = """<ir_version: 8, opset_import: ["" : 18]>
g (float[N,3] x) => (float[N,3] y, float[N,1] s) <float[3] w = {1.0, 2.0, 3.0}, int64[1] axes = {1}> {
  y = Mul(x, w)
  s = ReduceSum (x, axes)
}"""
MEAN = """<ir_version: 8, opset_import: ["" : 18]>
g (float[N,3] x) => (float[1,3] y) <int64[1] axes = {0}> {y = ReduceMean (x, axes)}"""
LOG = """<ir_version: 8, opset_import: ["" : 18]>
g (float[N] x) => (float[N] y) {y = Log(x)}"""

X = np.random.default_rng(0).standard_normal((5, 3)).astype(np.float32)


@pytest.fixture
def save(tmp_path):
    def put(name, text):
        onnx.save(onnx.parser.parse_model(text), tmp_path / name)
        return tmp_path / name

    return put


@pytest.fixture
def mul(save):
    return save("mul.onnx", MUL)


def test_outputs_come_by_name(mul):
    ran = run(mul, {"x": X})
    assert list(ran.outputs) == ["y", "s"]
    np.testing.assert_array_equal(ran.outputs["y"], X * np.float32([1, 2, 3]))
    np.testing.assert_allclose(ran.outputs["s"], X.sum(1, keepdims=True), rtol=1e-5)


@pytest.mark.parametrize("batch", [1, 2, 5, 8])
def test_chunks_are_joined(mul, batch):
    ran = run(mul, {"x": X}, batch=batch)
    assert sum(ran.batches) == 5
    assert max(ran.batches) == min(batch, 5)
    np.testing.assert_array_equal(ran.outputs["y"], X * np.float32([1, 2, 3]))


def test_an_output_without_the_batch_cannot_be_joined(save):
    with pytest.raises(RunFailed, match="'y' cannot be joined: for 2 samples it is 1x3"):
        run(save("mean.onnx", MEAN), {"x": X}, batch=2)


@pytest.mark.parametrize("stored", ["npz", "npy", "pt"])
def test_inputs_from_a_file(mul, tmp_path, stored):
    path = tmp_path / f"x.{stored}"
    if stored == "npz":
        np.savez(path, x=X)
    elif stored == "npy":
        np.save(path, X)
    else:
        torch.save({"x": torch.from_numpy(X)}, path)
    np.testing.assert_array_equal(run(mul, path).outputs["y"], X * np.float32([1, 2, 3]))


def test_a_module_runs_in_eval_mode_and_stays_as_it_is():
    net = residual_classifier.build(0)
    x = torch.randn(3, 3, 32, 32)
    with torch.no_grad():
        expected = net(x)
    net.train()
    ran = run(net, {"x": x})
    assert net.training
    torch.testing.assert_close(torch.from_numpy(next(iter(ran.outputs.values()))), expected)


def test_the_module_and_the_file_that_was_made_of_it(tmp_path):
    net = siamese.build(0)
    made = bnexport.convert(net, tmp_path / "net.onnx", inputs=siamese.INPUT, batch=(1, 2))
    names = [value.name for value in onnx.load(made.path).graph.input]
    inputs = {
        name: torch.randn(4, *shape_of(text))
        for name, text in zip(names, siamese.INPUT, strict=True)
    }
    ours, theirs = run(net, inputs, batch=3).outputs, run(made.path, inputs, batch=3).outputs
    assert list(ours) == list(theirs)
    for name in ours:
        np.testing.assert_allclose(ours[name], theirs[name], rtol=1e-3, atol=1e-4)


def shape_of(text):
    return [size for size in parse_input(text).shape if size]


def test_an_optional_parameter_may_be_left_out():
    class Scaled(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("one", torch.ones(()))

        def forward(self, x, scale=None):
            return x if scale is None else x * scale

    x = torch.ones(2, 3)
    assert run(Scaled(), {"x": x}).outputs["output"].sum() == 6
    assert run(Scaled(), {"x": x, "scale": 2 * x}).outputs["output"].sum() == 12


def test_nan_is_counted_not_refused(save):
    ran = run(save("log.onnx", LOG), {"x": np.float32([-1, 0, 1, np.nan])})
    told = ran.to_json()["outputs"]["y"]
    assert told == {"shape": [4], "dtype": "float32", "min": 0.0, "max": 0.0, "nan": 2, "inf": 1}


def test_the_outputs_are_written_by_name(mul, tmp_path):
    run(mul, {"x": X}, tmp_path / "y.npz")
    with np.load(tmp_path / "y.npz") as stored:
        assert sorted(stored.files) == ["s", "y"]
        np.testing.assert_array_equal(stored["y"], X * np.float32([1, 2, 3]))


def test_an_output_may_have_any_name(save, tmp_path):
    text = MEAN.replace("float[1,3] y", "float[1,3] file").replace("{y =", "{file =")
    run(save("mean.onnx", text), {"x": X}, tmp_path / "y.npz")
    with np.load(tmp_path / "y.npz") as stored:
        assert stored.files == ["file"]
        np.testing.assert_allclose(stored["file"], X.mean(0, keepdims=True), rtol=1e-5)


def test_a_frozen_batch_is_fed_as_often_as_it_takes(save):
    frozen = save("frozen.onnx", MUL.replace("[N,", "[2,"))
    ran = run(frozen, {"x": X[:4]}, batch=2)
    assert ran.batches == (2, 2)
    np.testing.assert_array_equal(ran.outputs["y"], X[:4] * np.float32([1, 2, 3]))


def test_bfloat16_is_written_as_numpy_can_read_it(tmp_path):
    net = nn.Linear(3, 2).to(torch.bfloat16)
    ran = run(net, {"input": torch.ones(4, 3)}, tmp_path / "y.npz")
    assert str(ran.outputs["output"].dtype) == "bfloat16"
    with np.load(tmp_path / "y.npz") as stored:
        assert stored["output"].dtype == np.float32


def test_a_failure_leaves_the_older_file(mul, tmp_path):
    run(mul, {"x": X}, tmp_path / "y.npz")
    before = (tmp_path / "y.npz").read_bytes()
    with pytest.raises(UsageError):
        run(mul, {"x": X[:, :2]}, tmp_path / "y.npz")
    assert (tmp_path / "y.npz").read_bytes() == before


def test_a_full_disk_leaves_the_older_file(mul, tmp_path, monkeypatch):
    run(mul, {"x": X}, tmp_path / "y.npz")
    before = (tmp_path / "y.npz").read_bytes()

    def full(path):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("bnexport.publish.fsync", full)
    with pytest.raises(OutputError, match="No space left"):
        run(mul, {"x": 2 * X}, tmp_path / "y.npz")
    assert (tmp_path / "y.npz").read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mul.onnx", "y.npz"]


def test_an_output_that_is_an_input_is_refused_before_it_runs(mul, tmp_path):
    np.savez(tmp_path / "x.npz", x=X)
    for output in (tmp_path / "x.npz", mul):
        before = output.read_bytes()
        with pytest.raises(UsageError, match="the same file is given twice"):
            run(mul, tmp_path / "x.npz", output)
        assert output.read_bytes() == before


def test_an_unknown_name_is_an_error(mul, tmp_path):
    with pytest.raises(UsageError, match="input z: the model takes x"):
        run(mul, {"x": X, "z": X})
    np.savez(tmp_path / "x.npz", z=X)
    with pytest.raises(UsageError, match="it holds z, and the model takes x"):
        run(mul, tmp_path / "x.npz")


def test_a_runtime_that_does_not_serve_the_file_is_an_error(mul):
    with pytest.raises(UsageError, match=r"'torch' does not run it: mul\.onnx runs in ort"):
        run(mul, {"x": X}, runtime="torch")


def test_a_chosen_runtime(mul):
    assert "unoptimised" in run(mul, {"x": X}, runtime="ort-plain").runtime


@pytest.mark.skipif(not isinstance(find_gpu(), str), reason="refused only without a GPU")
def test_a_runtime_that_is_not_here_is_an_error(mul):
    with pytest.raises(MissingRuntime):
        run(mul, {"x": X}, runtime="ort-cuda")


def test_a_batch_of_none_is_an_error(mul):
    with pytest.raises(UsageError, match="holds no sample"):
        run(mul, {"x": X}, batch=0)


def test_inputs_that_hold_more_than_arrays_are_refused(mul, tmp_path):
    torch.save({"x": nn.Linear(1, 1)}, tmp_path / "x.pt")
    with pytest.raises(Refused):
        run(mul, tmp_path / "x.pt")
