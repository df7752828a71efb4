"""ONNX Runtime as a runtime, and what it is not asked to do silently."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest

from bnexport.errors import MissingRuntime, UsageError
from bnexport.parity import OnnxRunner, RunFailed, cuda_obstacle

X = (np.random.default_rng(0).standard_normal((2, 3, 8, 8)).astype(np.float32),)
Build = Callable[..., bytes]


def test_bytes_and_a_path_give_the_same(onnx_of: Build, tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    path.write_bytes(onnx_of())
    for a, b in zip(OnnxRunner(onnx_of()).run(X), OnnxRunner(str(path)).run(X), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_missing_input_is_named(onnx_of: Build) -> None:
    with pytest.raises(RunFailed, match=r"0 inputs were given, the file has 1 \(x\)"):
        OnnxRunner(onnx_of()).run(())


def test_floats_are_cast_to_the_width_that_the_file_asks_for(onnx_of: Build) -> None:
    with OnnxRunner(onnx_of()) as runner:
        assert runner.run((X[0].astype(np.float64),))[0].dtype == np.float32


def test_integers_are_not_taken_for_floats(onnx_of: Build) -> None:
    with pytest.raises(RunFailed):
        OnnxRunner(onnx_of()).run((np.ones((2, 3, 8, 8), np.int64),))


@pytest.mark.parametrize(
    ("dtype", "precision"),
    [(np.float16, "float16"), (np.float32, "float32"), (np.float64, "float64")],
)
def test_the_weights_name_the_precision(dtype: type[np.generic], precision: str) -> None:
    kind = {"float16": "float16", "float32": "float", "float64": "double"}[precision]
    model = onnx.parser.parse_model(
        f'<ir_version: 10, opset_import: ["" : 18]> g ({kind}[N,2] x) => ({kind}[N,2] y)'
        "{ y = Add (x, k) }"
    )
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.ones(2, dtype), "k"))
    with OnnxRunner(model.SerializeToString()) as runner:
        assert runner.precision == precision


def test_what_onnxruntime_has_to_say_stays_inside(
    onnx_of: Build, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(RunFailed):
        OnnxRunner(onnx_of()).run((np.ones((2, 4, 8, 8), np.float32),))
    with pytest.raises(RunFailed):
        OnnxRunner(b"broken").__enter__()
    assert capfd.readouterr() == ("", "")


@pytest.mark.skipif(cuda_obstacle() == "", reason="CUDA works here")
def test_cuda_that_cannot_be_used_is_a_missing_runtime(onnx_of: Build) -> None:
    with pytest.raises(MissingRuntime, match=r"ONNX Runtime on CUDA: .* Install `bnexport\[gpu\]`"):
        OnnxRunner(onnx_of(), provider="cuda").__enter__()


class Session:
    """As much of a CUDA session as opening one looks at."""

    strict_error = (
        "assigned to the default CPU EP, but fallback to CPU EP has been explicitly disabled"
    )

    def __init__(self, providers: list[str], refuses: bool) -> None:
        self.providers, self.refuses = providers, refuses

    def __call__(self, source: object, options: object, providers: list[object]) -> Session:
        asked = [] if self.providers[0] != TENSORRT else [(TENSORRT, {})]
        assert providers == [*asked, (CUDA, {"use_tf32": "0"})]
        if self.refuses:  # the first time, which is the strict one
            assert options.get_session_config_entry("session.disable_cpu_ep_fallback") == "1"
            self.refuses = False
            raise RuntimeError(self.strict_error)
        return self

    def get_providers(self) -> list[str]:
        return self.providers

    def get_outputs(self) -> list[object]:
        return []


CUDA, CPU = "CUDAExecutionProvider", "CPUExecutionProvider"
TENSORRT = "TensorrtExecutionProvider"


def with_session(monkeypatch: pytest.MonkeyPatch, session: object) -> None:
    monkeypatch.setattr("bnexport.parity.onnx_runner._obstacle", lambda provider: "")
    monkeypatch.setattr("onnxruntime.InferenceSession", session)


@pytest.mark.parametrize(("refuses", "device"), [(False, "cuda"), (True, "cuda + cpu")])
def test_nodes_that_stay_on_the_processor_are_said(
    onnx_of: Build, monkeypatch: pytest.MonkeyPatch, refuses: bool, device: str
) -> None:
    with_session(monkeypatch, Session([CUDA, CPU], refuses))
    with OnnxRunner(onnx_of(), provider="cuda") as runner:
        assert runner.device == device


def test_tensorrt_multiplies_in_tf32(onnx_of: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    with_session(monkeypatch, Session([TENSORRT, CUDA, CPU], refuses=False))
    with OnnxRunner(onnx_of(), provider="tensorrt") as runner:
        assert (runner.device, runner.precision) == ("tensorrt", "tf32")


def test_tensorrt_is_not_replaced_by_cuda(onnx_of: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    session = Session([TENSORRT, CUDA, CPU], refuses=False)
    monkeypatch.setattr(session, "get_providers", lambda: [CUDA, CPU])
    with_session(monkeypatch, session)
    with pytest.raises(MissingRuntime, match="ONNX Runtime on TensorRT: its libraries did not"):
        OnnxRunner(onnx_of(), provider="tensorrt").__enter__()


def test_cuda_that_did_not_load_is_a_missing_runtime(
    onnx_of: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_session(monkeypatch, Session([CPU], refuses=True))
    with pytest.raises(MissingRuntime, match="its libraries did not load"):
        OnnxRunner(onnx_of(), provider="cuda").__enter__()


def test_an_absent_runtime_is_named(onnx_of: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(MissingRuntime, match=r"pip install bnexport\[cpu\]"):
        OnnxRunner(onnx_of()).__enter__()


def test_an_unknown_provider_is_refused() -> None:
    with pytest.raises(UsageError, match="'tpu'"):
        OnnxRunner(b"", provider="tpu")
