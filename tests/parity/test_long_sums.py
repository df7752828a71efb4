"""A mean over many numbers: a runtime that adds them in a loop is not wrong, and a wrong one is still seen."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from torch import Tensor, nn

import bnexport


class Mean(nn.Module):
    def __init__(self, bias: float = 0.0) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv = nn.Conv2d(3, 4, 1)
        with torch.no_grad():
            self.conv.bias.add_(bias)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x).relu().mean((2, 3))


@pytest.mark.parametrize(("bias", "side"), [(0.0, 192), (3.0, 512)])
def test_a_long_mean_is_no_fault(bias: float, side: int, tmp_path: Path) -> None:
    shape = [f"Nx3x{side}x{side}"]
    done = bnexport.convert(Mean(bias).eval(), tmp_path / "m.onnx", inputs=shape, batch=(1, 2))
    assert done.parity.ok


def test_a_weight_that_is_off_is_seen_behind_one(tmp_path: Path) -> None:
    net, shape = Mean(3.0).eval(), ["Nx3x192x192"]
    path = bnexport.convert(net, tmp_path / "m.onnx", inputs=shape, batch=(1,)).path
    model = onnx.load(path)
    bias = next(each for each in model.graph.initializer if each.name.endswith("bias"))
    value = onnx.numpy_helper.to_array(bias) * np.float32([1, 1, 1, 1 + 3e-5])
    bias.CopyFrom(onnx.numpy_helper.from_array(value, bias.name))
    onnx.save(model, path)
    assert not bnexport.verify(net, path, inputs=shape, batch=(1,)).ok
