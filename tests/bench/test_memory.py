"""Each in a process of its own."""

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from bnexport import Isolation, bench

QUICK = {"rounds": 1, "warmup": 0, "threads": 1, "memory": True}


@pytest.fixture
def heavy(tmp_path):
    """A file of 32 MB of weights."""
    weight = onnx.numpy_helper.from_array(np.ones((2000, 4000), np.float32), "w")
    x, y = (
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, ["N", size])
        for name, size in (("x", 2000), ("y", 4000))
    )
    node = onnx.helper.make_node("MatMul", ["x", "w"], ["y"])
    graph = onnx.helper.make_graph([node], "g", [x], [y], [weight])
    opset = onnx.helper.make_opsetid("", 18)
    onnx.save(
        onnx.helper.make_model(graph, opset_imports=[opset], ir_version=8), tmp_path / "h.onnx"
    )
    return tmp_path / "h.onnx"


def test_weights_take_memory(heavy):
    (result,) = bench(heavy, runtimes=("ort",), **QUICK).results
    assert result.memory.reason == ""
    assert result.memory.gpu_bytes is None
    # At least the weights, and not a multiple of them that would count the reading of the file.
    assert 30e6 < result.memory.host_bytes < 150e6


def test_of_a_live_module_it_is_not_known():
    (result,) = bench(nn.Linear(3, 3), inputs=["Nx3"], runtimes=("torch",), **QUICK).results
    assert result.memory.host_bytes is None
    assert "live module" in result.memory.reason


def test_a_process_that_fails_is_told(one, monkeypatch):
    monkeypatch.setattr("sys.executable", "/bin/false")
    here = Isolation(in_process=True)
    (result,) = bench(one, runtimes=("ort",), isolation=here, **QUICK).results
    assert result.memory.reason.startswith("its process ended with 1")


def test_an_architecture_is_only_for_the_weights_among_the_files(one, tmp_path):
    torch.save(nn.Linear(3, 3).state_dict(), tmp_path / "w.pt")
    arch = {"arch": "torch.nn:Linear", "arch_args": {"in_features": 3, "out_features": 3}}
    net = torch.export.export(nn.Sequential(nn.Linear(3, 3)).eval(), (torch.randn(2, 3),))
    torch.export.save(net, tmp_path / "net.pt2")
    models = [tmp_path / "w.pt", tmp_path / "net.pt2"]
    found = bench(models, **arch, inputs=["Nx3"], batch=(2,), runtimes=("torch",), **QUICK)
    assert [r.memory.reason for r in found.results] == ["", ""]
