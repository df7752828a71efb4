"""Half precision emulated in float32: as far from the truth as PyTorch's own, in a fraction of the time."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from bnexport.parity.halved import Halved
from bnexport.parity.torch_runner import HalvedRunner, TorchRunner
from models import residual_classifier, sync_unet


class Tupled(nn.Module):
    """What a runner takes."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor]:
        return (self.net(x),)


HALVES = [torch.float16, torch.bfloat16]


def off(runner: TorchRunner, x: np.ndarray, truth: np.ndarray) -> float:
    with runner:
        (y,) = runner.run((x,))
    return float(np.linalg.norm(y.astype(np.float64) - truth) / np.linalg.norm(truth))


@pytest.mark.parametrize("dtype", HALVES)
@pytest.mark.parametrize("source", [residual_classifier, sync_unet])
def test_it_rounds_as_far_as_pytorch_does(source, dtype):
    net = Tupled(source.build()).eval()
    shape = [int(size) for size in source.INPUT[0].split("x")[1:]]
    x = np.random.default_rng(0).standard_normal((2, *shape)).astype(np.float32)
    with TorchRunner(net, dtype=torch.float64) as exact:
        (truth,) = exact.run((x.astype(np.float64),))
    real, emulated = (
        off(TorchRunner(net, dtype=dtype), x, truth),
        off(HalvedRunner(net, dtype), x, truth),
    )
    assert 0.6 < emulated / real < 1.6


@pytest.mark.parametrize("dtype", HALVES)
def test_each_operator_is_rounded_as_the_type_rounds(dtype):
    x, y = torch.randn(64, generator=torch.Generator().manual_seed(0)), torch.linspace(-3, 3, 64)
    x, y = x.to(dtype).float(), y.to(dtype).float()
    with Halved(dtype):
        got = torch.exp(x * y) + x
    wanted = torch.exp((x * y).to(dtype).float()).to(dtype).float() + x
    assert torch.equal(got, wanted.to(dtype).float())


def test_what_overflows_does():
    with Halved(torch.float16):
        assert torch.isinf(torch.full((1,), 300.0) * 300.0)
    with Halved(torch.bfloat16):
        assert not torch.isinf(torch.full((1,), 300.0) * 300.0)


def test_writing_through_a_view_is_rounded_too():
    with Halved(torch.float16):
        x = torch.ones(4)
        x.view(2, 2)[0].add_(1e-4)
    assert torch.equal(x, torch.ones(4))


def test_the_module_and_the_input_are_left_as_they_were():
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)).eval()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    x = np.random.default_rng(0).standard_normal((1, 3, 8, 8)).astype(np.float32)
    given = x.copy()
    with HalvedRunner(Tupled(net).eval(), torch.float16) as runner:
        runner.run((x,))
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    np.testing.assert_array_equal(x, given)


def test_the_input_is_rounded():
    net = Tupled(nn.Identity()).eval()
    x = np.asarray([[1.0001, 70000.0]], np.float32)
    with HalvedRunner(net, torch.float16) as runner:
        (y,) = runner.run((x,))
    assert y.tolist() == [[1.0, np.inf]]
