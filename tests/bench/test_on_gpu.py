"""What only a GPU can show: event times, CUDA graphs, ONNX Runtime and engines on the stream."""

import pytest
import torch
from torch import nn

import bnexport
from bnexport import bench
from bnexport.parity.onnx_runner import cuda_obstacle
from bnexport.targets.cuda import find_gpu

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(isinstance(find_gpu(), str), reason=f"no GPU: {find_gpu()}"),
    pytest.mark.skipif(not torch.cuda.is_available(), reason="torch was built without CUDA"),
]

QUICK = {"rounds": 6, "warmup": 3}


def net():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU())


@pytest.mark.parametrize("graphs", [False, True])
def test_pytorch(graphs):
    found = bench(
        net(), inputs=["Nx3x16x16"], runtimes=("torch-cuda",), cuda_graphs=graphs, **QUICK
    )
    (result,) = found.results
    assert (result.participant.device, result.participant.cuda_graph) == ("cuda", graphs)
    assert result.latency.least > 0


@pytest.mark.slow
@pytest.mark.parametrize("graphs", [False, True])
def test_compiled(graphs):
    runtimes = ("torch-cuda", "torch-compile-cuda")
    found = bench(net(), inputs=["Nx3x16x16"], runtimes=runtimes, cuda_graphs=graphs, **QUICK)
    assert len(found.results) == 2


def test_onnx_runtime(tmp_path):
    if obstacle := cuda_obstacle():
        pytest.skip(obstacle)
    made = bnexport.convert(net(), tmp_path / "net.onnx", inputs=["Nx3x16x16"])
    (result,) = bench(made.path, runtimes=("ort-cuda",), batch=(4,), **QUICK).results
    assert result.participant.device.startswith("cuda")
    assert list(result.outputs.values()) == [(4, 8, 14, 14)]


@pytest.mark.parametrize("graphs", [False, True])
def test_an_engine(tmp_path, graphs):
    made = bnexport.convert(net(), tmp_path / "net.engine", inputs=["Nx3x16x16"], targets="trt")
    (result,) = bench(made.path, batch=(4,), cuda_graphs=graphs, **QUICK).results
    assert result.participant.runtime == "trt"
    assert list(result.outputs.values()) == [(4, 8, 14, 14)]


def test_memory_on_the_gpu(tmp_path):
    torch.save(net(), tmp_path / "net.pt")
    options = {"inputs": ["Nx3x16x16"], "runtimes": ("torch-cuda",), "memory": True}
    (result,) = bench(tmp_path / "net.pt", **options, **QUICK).results
    assert result.memory.gpu_bytes > 0
