"""EngineRunner: what it refuses, what it asks of TensorRT, and the order in which it asks."""

import contextlib
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from bnexport.errors import MissingRuntime, Refused
from bnexport.parity.runner import RunFailed
from bnexport.targets.cuda import Gpu
from bnexport.targets.tensorrt import (
    EngineInfo,
    EngineRunner,
    Flavour,
    TensorInfo,
    can_run,
    engine,
    write_sidecar,
)

INFO = EngineInfo(
    flavour="tensorrt_rtx",
    version="1.7",
    targets=("sm_89",),
    assumed="",
    profiles={},
    precision="tf32",
    tf32=True,
    inputs=(TensorInfo("b", "float32", (-1, 3)), TensorInfo("a", "float16", (-1, 3))),
    outputs=(TensorInfo("sum", "float32", (-1, 3)), TensorInfo("first", "bfloat16", (-1, 3))),
    layers={},
    scale_layers=0,
    warnings=(),
    build_seconds=0.0,
    bytes=4,
)
KINDS = {"b": "FLOAT", "a": "HALF", "sum": "FLOAT", "first": "BF16"}
SURFACE = {
    "Runtime": ["deserialize_cuda_engine", "get_engine_validity"],
    "ICudaEngine": ["create_execution_context", "get_tensor_dtype", "get_tensor_location"],
    "IExecutionContext": [
        "execute_async_v3",
        "get_tensor_shape",
        "infer_shapes",
        "set_input_shape",
        "set_tensor_address",
    ],
    "EngineValidity": ["INVALID"],
    "TensorLocation": ["HOST"],
    "DataType": list(engine._DTYPES),
}


@pytest.fixture
def path(tmp_path):
    made = tmp_path / "m.engine"
    made.write_bytes(b"plan")
    write_sidecar(made, INFO)
    return made


def here(monkeypatch, gpu, cuda=True):
    monkeypatch.setattr(engine, "find_gpu", lambda: gpu)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)


def test_the_names_it_uses_exist_in_the_bindings():
    module = pytest.importorskip("tensorrt_rtx")
    absent = [
        f"{owner}.{name}"
        for owner, names in SURFACE.items()
        for name in names
        if not hasattr(getattr(module, owner), name)
    ]
    assert absent == []


def test_no_gpu_no_run(monkeypatch):
    here(monkeypatch, "no CUDA device")
    assert can_run(INFO) == "no CUDA device"


def test_another_gpu_no_run(monkeypatch):
    here(monkeypatch, Gpu("NVIDIA H200", 90))
    assert can_run(INFO) == "the GPU here, NVIDIA H200, is sm_90"


def test_torch_without_cuda_no_run(monkeypatch):
    here(monkeypatch, Gpu("NVIDIA L4", 89), cuda=False)
    assert can_run(INFO) == "torch here was built without CUDA"


def test_the_right_gpu_runs(monkeypatch):
    here(monkeypatch, Gpu("NVIDIA L4", 89))
    assert can_run(["sm_80", "sm_89"]) is None


def test_what_it_says_of_itself(path):
    runner = EngineRunner(path)
    said = (runner.name, runner.version, runner.device, runner.precision)
    assert said == ("TensorRT-RTX", "1.7", "cuda", "tf32")


def test_an_engine_without_a_sidecar_is_refused(tmp_path):
    with pytest.raises(Refused):
        EngineRunner(tmp_path / "m.engine")


def test_an_engine_of_an_unknown_flavour_is_refused(path):
    write_sidecar(path, replace(INFO, flavour="os"))
    with pytest.raises(Refused, match="'os'"):
        EngineRunner(path)


def test_an_engine_that_changed_is_refused(path, monkeypatch):
    here(monkeypatch, Gpu("NVIDIA L4", 89))
    monkeypatch.setattr(engine, "load_flavour", lambda name: pytest.fail("must not be opened"))
    path.write_bytes(b"evil")
    with pytest.raises(Refused, match="not the one"), EngineRunner(path):
        pass


def test_an_engine_that_was_cut_off_says_so_also_without_a_gpu(path):
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(Refused, match="it was cut off: 3 of 4 bytes are there"), EngineRunner(path):
        pass


def test_a_static_engine_says_its_batch(tmp_path):
    path = tmp_path / "s.engine"
    path.write_bytes(b"vtrt")
    fixed = (TensorInfo("b", "float32", (4, 3)), TensorInfo("a", "float16", (4, 3)))
    write_sidecar(path, replace(INFO, static=True, inputs=fixed))
    assert EngineRunner(path).fixed_batch == 4


def test_without_a_gpu_it_is_not_opened(path, monkeypatch):
    here(monkeypatch, "no CUDA device")
    with pytest.raises(MissingRuntime, match="no CUDA device"), EngineRunner(path):
        pass


class Fake:
    """TensorRT as seen from the runner, on the CPU: sum = b + a, first = b."""

    class ILogger:
        pass

    TensorLocation = SimpleNamespace(HOST="host")
    Runtime = None

    def __init__(self, opens=True, shape=(2, 3), accepts=True, runs=True):
        self.opens, self.shape, self.accepts, self.runs = opens, shape, accepts, runs
        self.calls, self.bound = [], {}
        self.Runtime = lambda logger: self

    def deserialize_cuda_engine(self, content):
        return self if self.opens else None

    def create_execution_context(self):
        return self

    def get_tensor_location(self, name):
        return "device"

    def get_tensor_dtype(self, name):
        return SimpleNamespace(name=KINDS[name])

    def get_tensor_shape(self, name):
        return self.shape

    def set_input_shape(self, name, shape):
        self.calls.append(("shape", name))
        return self.accepts

    def set_tensor_address(self, name, address):
        self.bound[name] = address
        return True

    def infer_shapes(self):
        self.calls.append("infer")
        return []

    def execute_async_v3(self, stream):
        read = {"b": (np.float32, None), "a": (np.float16, None), "sum": (np.float32, None)}
        size = int(np.prod(self.shape))
        view = {name: _memory(self.bound[name], size, kind) for name, (kind, _) in read.items()}
        view["sum"][:] = view["b"] + view["a"]
        return self.runs


def _memory(address, size, kind):
    import ctypes

    raw = (ctypes.c_char * (size * np.dtype(kind).itemsize)).from_address(address)
    return np.frombuffer(raw, kind)


class Stream:
    cuda_stream = 7

    def wait_stream(self, other):
        pass

    def synchronize(self):
        pass


@pytest.fixture
def fake(monkeypatch):
    """The runner over a `Fake` made with the given arguments, on the CPU."""

    def fake(**arguments):
        made = Fake(**arguments)
        here(monkeypatch, Gpu("NVIDIA L4", 89))
        monkeypatch.setattr(engine, "_DEVICE", "cpu")
        monkeypatch.setattr(engine, "load_flavour", lambda name: Flavour(name, "1.7", True, made))
        monkeypatch.setattr(torch.cuda, "device", lambda device: contextlib.nullcontext())
        monkeypatch.setattr(torch.cuda, "Stream", Stream)
        monkeypatch.setattr(torch.cuda, "current_stream", Stream)
        return made

    return fake


def arrays(count=2):
    draw = np.random.default_rng(count)
    return tuple(draw.standard_normal((count, 3)).astype(np.float32) for _ in range(2))


def test_inputs_and_outputs_are_matched_by_name_in_the_sidecars_order(path, fake):
    made = fake()
    b, a = arrays()
    with EngineRunner(path) as runner:
        total, first = runner.run((b, a))
    np.testing.assert_allclose(total, b + a.astype(np.float16), rtol=1e-6)
    assert (total.dtype, first.dtype) == (np.float32, np.float32)
    assert made.calls == [("shape", "b"), ("shape", "a"), "infer"]


def test_what_is_laid_once_runs_again_and_again(path, fake):
    made = fake()
    b, a = arrays()
    with EngineRunner(path) as runner:
        fed, (total, _) = runner.lay((b, a))
        for _ in range(2):
            total.zero_()
            runner.enqueue(7)
            np.testing.assert_allclose(total.numpy(), b + a.astype(np.float16), rtol=1e-6)
        assert [tensor.dtype for tensor in fed] == [torch.float32, torch.float16]
    assert made.calls == [("shape", "b"), ("shape", "a"), "infer"]


def test_a_failure_of_what_was_laid_is_said(path, fake):
    fake(runs=False)
    with EngineRunner(path) as runner:
        kept = runner.lay(arrays())
        with pytest.raises(RunFailed, match="gave no reason"):
            runner.enqueue(7)
        assert kept


def test_it_can_be_entered_again(path, fake):
    fake()
    runner = EngineRunner(path)
    results = []
    for _ in range(2):
        with runner:
            results.append(runner.run(arrays())[0])
    np.testing.assert_array_equal(*results)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"accepts": False}, "input 'b' of shape 2x3 is outside its profile"),
        ({"shape": (-1, 3)}, "shape of output 'sum' depends on the data"),
    ],
)
def test_what_cannot_run_is_said(path, fake, arguments, message):
    fake(**arguments)
    with EngineRunner(path) as runner, pytest.raises(RunFailed, match=message):
        runner.run(arrays())


def test_a_failed_execution_is_a_failure(path, fake):
    fake(runs=False)
    with EngineRunner(path) as runner, pytest.raises(RunFailed, match="gave no reason"):
        runner.run(arrays())


def test_an_engine_that_tensorrt_does_not_take_is_a_failure(path, fake):
    fake(opens=False)
    with pytest.raises(RunFailed, match=r"cannot run .*m\.engine"), EngineRunner(path):
        pass


def test_a_wrong_number_of_inputs_is_a_failure(path, fake):
    fake()
    with EngineRunner(path) as runner, pytest.raises(RunFailed, match="1 inputs were given"):
        runner.run(arrays()[:1])
