"""Float64 without a copy of the weights."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from bnexport.parity import torch_runner
from bnexport.parity.runner import RunFailed
from bnexport.parity.torch_runner import TorchRunner
from bnexport.signature import Plain, parameter_names
from models import audio1d, residual_classifier


class Writes(nn.Module):
    """Into what it makes itself."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)

    def forward(self, x):
        y = self.conv(x)
        total = torch.zeros(y.shape)
        total.add_(y)
        total[:, 0] = y[:, 1] / 3
        return total


class Casts(nn.Module):
    """To the type of its own weights."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(32, 5)

    def forward(self, x):
        mean = x.mean((1, 2)).to(self.linear.weight.dtype)
        return self.linear(mean) * torch.ones(1, dtype=self.linear.bias.dtype).div(3)


class Recurs(nn.Module):
    def __init__(self):
        super().__init__()
        self.gru = nn.GRU(32, 8, batch_first=True, bidirectional=True)
        self.register_buffer("scale", torch.rand(16))

    def forward(self, x):
        return functional.layer_norm(self.gru(x[:, 0])[0], (16,)) * self.scale


MODULES = {
    "audio": (audio1d.build, (1, 1, 4096)),
    "residual": (residual_classifier.build, (2, 3, 32, 32)),
    "casts": (Casts, (2, 3, 8, 32)),
    "recurs": (Recurs, (2, 3, 8, 32)),
}


@pytest.mark.parametrize("name", MODULES)
def test_it_gives_what_a_copy_in_float64_gives(name, monkeypatch):
    torch.manual_seed(3)
    build, shape = MODULES[name]
    network = build()
    module = Plain(network, parameter_names(network)).eval()
    x = (torch.randn(shape).numpy(),)
    copied = TorchRunner(module, dtype=torch.float64).run(x)
    monkeypatch.setattr(torch_runner, "LARGE", 0)
    with TorchRunner(module, dtype=torch.float64) as runner:
        widened = runner.run(x)
    assert widened[0].dtype == np.float64
    np.testing.assert_allclose(widened[0], copied[0], rtol=1e-12, atol=1e-12)
    assert {each.dtype for each in module.parameters()} == {torch.float32}


def test_what_the_module_makes_of_nothing_may_be_written_to(monkeypatch):
    module = Plain(Writes(), ["x"]).eval()
    x = torch.randn(2, 3, 8, 8)
    with torch.no_grad():
        right = module(x)[0].numpy()
    monkeypatch.setattr(torch_runner, "LARGE", 0)
    widened = TorchRunner(module, dtype=torch.float64).run((x.numpy(),))[0]
    assert widened.dtype == np.float64  # in a copy its zeros would be of float32
    np.testing.assert_allclose(widened, right, rtol=1e-5, atol=1e-5)


class Counts(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(4, 2)
        self.register_buffer("calls", torch.zeros(2))

    def forward(self, x):
        return self.linear(x) + self.calls.add_(1)


def test_what_is_kept_is_not_written_to_unseen(monkeypatch):
    monkeypatch.setattr(torch_runner, "LARGE", 0)
    module = Plain(Counts().eval(), ["x"]).eval()
    with pytest.raises(RunFailed, match="writes to a tensor that it holds"):
        TorchRunner(module, dtype=torch.float64).run((np.ones((1, 4), np.float32),))
    assert not module.model.calls.any()


def test_no_weight_is_copied(monkeypatch):
    monkeypatch.setattr(torch_runner, "LARGE", 0)

    def copied(module, change=None):
        raise AssertionError("a copy was made")

    monkeypatch.setattr(torch_runner, "copy_module", copied)
    module = Plain(nn.Linear(4, 2), ["input"]).eval()
    with TorchRunner(module, dtype=torch.float64) as runner:
        assert runner.run((np.ones((1, 4), np.float32),))[0].dtype == np.float64
