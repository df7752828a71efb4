"""Modules that keep something from call to call are refused, or written as they are at their first call."""

from __future__ import annotations

import types

import pytest
import torch
from torch import nn
from torch.overrides import _get_current_function_mode_stack

import bnexport


class Counting(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.seen = types.SimpleNamespace(n=0)

    def forward(self, x):
        self.seen.n += 1
        return self.conv(x) * float(min(self.seen.n, 2))


class Buffered(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, x):
        self.calls.add_(1)
        return self.conv(x) * self.calls.clamp(max=2)


class Watched(nn.Module):
    """Another one when somebody watches."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)

    def forward(self, x):
        watched = bool(_get_current_function_mode_stack())
        return self.conv(x) * (2.0 if watched else 1.0)


@pytest.mark.parametrize("kind", [Counting, Buffered])
@pytest.mark.parametrize("proof", ["quick", "full"])
@pytest.mark.parametrize("batch", [1, (1, 2), (1, 8)])
def test_what_differs_from_call_to_call_is_refused(kind, proof, batch, tmp_path):
    options = {"inputs": ["Nx3x8x8"], "batch": batch, "proof": proof}
    with pytest.raises(bnexport.Refused, match="random"):
        bnexport.convert(kind().eval(), tmp_path / "m.onnx", **options)
    assert not (tmp_path / "m.onnx").exists()


@pytest.mark.parametrize("proof", ["quick", "full"])
@pytest.mark.parametrize("capture", ["fast", "auto"])
def test_what_is_another_one_under_a_recorder_is_not_believed(proof, capture, tmp_path):
    options = {"inputs": ["Nx3x8x8"], "batch": (1, 2), "proof": proof, "capture": capture}
    with pytest.raises(bnexport.ConversionFailed):
        bnexport.convert(Watched().eval(), tmp_path / "m.onnx", **options)
    assert not (tmp_path / "m.onnx").exists()


def test_the_callers_module_counts_no_call(tmp_path):
    module = Counting().eval()
    with pytest.raises(bnexport.Refused):
        bnexport.convert(module, tmp_path / "m.onnx", inputs=["Nx3x8x8"])
    assert module.seen.n == 0
