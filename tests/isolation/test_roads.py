"""The roads that lead through native code: onnxsim, the checker, ONNX Runtime, TensorRT."""

import numpy as np
import onnx
import pytest
import torch
from onnx.parser import parse_model
from torch import nn

import bnexport
from bnexport import Isolation, NativeFailure
from bnexport.isolation import isolated
from bnexport.parity.onnx_runner import OnnxRunner
from bnexport.parity.runner import RunFailed

TEXT = """
<ir_version: 8, opset_import: ["" : 17]>
net (float[N, 4] x) => (float[N, 4] y) <float[4] w = {1, 2, 3, 4}> { h = Mul(x, w) y = Relu(h) }
"""


@pytest.fixture
def model(tmp_path):
    onnx.save(parse_model(TEXT), tmp_path / "model.onnx")
    return tmp_path / "model.onnx"


@pytest.fixture
def net():
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU()).eval()


ROADS = {
    "simplify": ("onnxsim", "--no-simplify leaves it out"),
    "check": ("the ONNX checker", ""),
    "open": ("ONNX Runtime, opening", ""),
    "run": ("ONNX Runtime, running", ""),
}


@pytest.mark.parametrize("step", ROADS)
def test_a_crash_on_a_file_of_others_is_told_by_its_step(step, model, tmp_path, planted):
    (tmp_path / "out.onnx").write_text("the older one")
    planted(**{step: "crash"})
    title, remedy = ROADS[step]
    with pytest.raises(NativeFailure, match=rf"{title}.* crashed \(SIGSEGV\)") as raised:
        bnexport.convert(model, tmp_path / "out.onnx")
    assert remedy in raised.value.remedy
    assert (tmp_path / "out.onnx").read_text() == "the older one"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model.onnx", "out.onnx"]


def test_what_is_captured_from_a_module_is_isolated_in_onnxsim_alone(net, tmp_path, planted):
    planted(check="crash", open="crash", run="crash")
    assert bnexport.convert(net, tmp_path / "a.onnx", inputs=["Nx3x8x8"]).ok
    planted(simplify="hang")
    with pytest.raises(NativeFailure, match="onnxsim gave no sign of life"):
        bnexport.convert(
            net,
            tmp_path / "b.onnx",
            inputs=["Nx3x8x8"],
            simplify=True,
            isolation=Isolation(timeout=1),
        )


def test_in_process_no_worker_is_started(net, model, tmp_path, monkeypatch):
    monkeypatch.setattr("bnexport.isolation.scope.Worker", None)
    here = Isolation(in_process=True)
    bnexport.convert(net, tmp_path / "a.onnx", inputs=["Nx3x8x8"], isolation=here)
    bnexport.convert(model, tmp_path / "b.onnx", isolation=here)
    bnexport.run(model, {"x": np.ones((2, 4), np.float32)}, isolation=here)


def test_both_ways_give_the_same_file(model, tmp_path):
    apart = bnexport.convert(model, tmp_path / "a.onnx")
    here = bnexport.convert(model, tmp_path / "b.onnx", isolation=Isolation(in_process=True))
    assert apart.path.read_bytes() == here.path.read_bytes()


@pytest.mark.parametrize("step", ["open", "run"])
def test_verify_run_and_bench_are_isolated(step, net, model, planted):
    planted(**{step: "crash"})
    x = np.ones((2, 4), np.float32)
    for call in (
        lambda: bnexport.verify(model, model),
        lambda: bnexport.run(model, {"x": x}),
        lambda: bnexport.bench(model, runtimes=("ort",), rounds=1, warmup=0),
    ):
        with pytest.raises(NativeFailure, match="SIGSEGV"):
            call()


def test_tensorrt_is_isolated(net, tmp_path, planted):
    pytest.importorskip("tensorrt_rtx")
    planted(build="crash")
    with pytest.raises(NativeFailure, match=r"TensorRT.*, building the engine, crashed"):
        bnexport.convert(net, tmp_path / "a.engine", target="trt-rtx", inputs=["Nx3x8x8"])


def test_a_session_far_away_is_like_one_here(model):
    x = np.arange(8, dtype=np.float32).reshape(2, 4) - 3
    with isolated(foreign=True), OnnxRunner(model) as far:
        (found,) = far.run((x,))
        assert far.version
        with pytest.raises(RunFailed, match="Got invalid dimensions"):
            far.run((x[:, :2],))
    with OnnxRunner(model) as near:
        (expected,) = near.run((x,))
    assert np.array_equal(found, expected)


@pytest.mark.parametrize("foreign", [False, True])
def test_weights_in_files_are_mapped_from_the_descriptor(foreign, tmp_path):
    weight = np.arange(3000, dtype=np.float32).reshape(3, 1000)
    proto = parse_model(
        '<ir_version: 8, opset_import: ["" : 17]> n (float[N, 3] x) => (float[N, 1000] y)'
        "{ y = MatMul(x, w) }"
    )
    proto.graph.initializer.append(onnx.numpy_helper.from_array(weight, "w"))
    onnx.save(proto, tmp_path / "m.onnx", save_as_external_data=True, location="w.data")
    x = np.eye(3, dtype=np.float32)
    with isolated(foreign=foreign), OnnxRunner(tmp_path / "m.onnx") as runner:
        (tmp_path / "w.data").unlink()  # what was opened is what is used
        (found,) = runner.run((x,))
    assert np.array_equal(found, weight)


def test_a_path_of_the_users_never_reaches_the_runtime(model, monkeypatch):
    import onnxruntime

    given = []
    real = onnxruntime.InferenceSession
    monkeypatch.setattr(
        onnxruntime,
        "InferenceSession",
        lambda source, *args, **options: given.append(source) or real(source, *args, **options),
    )
    with OnnxRunner(model) as runner:
        runner.run((np.ones((1, 4), np.float32),))
    assert [type(source) for source in given] == [bytes]


def test_the_callers_threads_and_modules_are_as_before(net, tmp_path):
    before = torch.get_num_threads(), [p.clone() for p in net.parameters()]
    bnexport.convert(net, tmp_path / "a.onnx", inputs=["Nx3x8x8"])
    assert before[0] == torch.get_num_threads()
    assert all(torch.equal(a, b) for a, b in zip(before[1], net.parameters(), strict=True))
