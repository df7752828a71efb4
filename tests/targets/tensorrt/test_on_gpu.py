"""On a GPU: an engine runs at the batches of its profile and agrees with ONNX Runtime."""

import numpy as np
import onnxruntime as ort
import pytest

from bnexport.targets.cuda import find_gpu
from bnexport.targets.tensorrt import (
    EngineOptions,
    EngineRunner,
    build_engine,
    can_run,
    find_flavour,
    write_sidecar,
)

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(isinstance(find_gpu(), str), reason=f"no GPU: {find_gpu()}"),
]


@pytest.fixture
def engine(write, tmp_path):
    path = tmp_path / "m.engine"
    info = build_engine(write(), path, find_flavour("trt"), EngineOptions((1, 4, 8)))
    if reason := can_run(info):
        pytest.skip(reason)
    write_sidecar(path, info)
    return path


@pytest.mark.parametrize("batch", [1, 3, 8])
def test_it_agrees_with_onnx_runtime(engine, batch):
    x = np.random.default_rng(batch).standard_normal((batch, 4, 8, 8)).astype(np.float32)
    session = ort.InferenceSession(engine.with_name("m.onnx"), providers=["CPUExecutionProvider"])
    with EngineRunner(engine) as runner:
        (got,) = runner.run((x,))
    np.testing.assert_allclose(got, session.run(None, {"x": x})[0], rtol=1e-4, atol=1e-5)
