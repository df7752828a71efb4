"""NaN at batch 1: normalisation by the batch, whose deviation one sample does not have."""

from pathlib import Path

import torch
from torch import Tensor, nn

COMMAND = (
    "convert",
    "--arch",
    "models.symptoms.nan_at_batch_1:build",
    "--input",
    "Nx3x16x16",
    "-o",
    "x.onnx",
)
FINDS = ("starts in layer 'head.0'", "moves with its")


class Standardise(nn.Module):
    """A BatchNorm by hand, without running statistics."""

    def forward(self, x: Tensor) -> Tensor:
        return (x - x.mean(0)) / (x.std(0) + 1e-5)


def build(head: nn.Module | None = None) -> nn.Module:
    """A classifier that normalises its features."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = nn.Sequential()
        net.add_module("body", nn.Conv2d(3, 8, 3, 2, bias=False))
        net.add_module("norm", nn.BatchNorm2d(8))
        net.add_module("pool", nn.Sequential(nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()))
        net.add_module("head", nn.Sequential(head or Standardise(), nn.Linear(8, 4)))
    net.norm.running_mean.normal_()
    net.norm.num_batches_tracked.fill_(1)
    return net.eval()


def plant(folder: Path) -> None:
    """Nothing: the command builds the network."""


def symptom(folder: Path) -> dict[str, float]:
    """What comes out for one sample, and for two."""
    return _outputs(build())


def repair(folder: Path) -> dict[str, float]:
    """A BatchNorm with running statistics in its place, estimated from data."""
    import bnexport

    net = build(nn.BatchNorm1d(8))
    made = torch.Generator().manual_seed(1)
    data = [torch.randn(32, 3, 16, 16, generator=made) for _ in range(8)]
    bnexport.recalibrate(net, data, in_place=True)
    return _outputs(net)


def _outputs(net: nn.Module) -> dict[str, float]:
    x = torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        one, two = net(x[:1]), net(x)
    return {"NaN at batch 1": float(one.isnan().sum()), "NaN at batch 2": float(two.isnan().sum())}
