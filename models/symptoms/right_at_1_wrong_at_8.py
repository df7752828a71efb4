"""Right at batch 1 and wrong at 8: an axis of the batch was folded into another one."""

from pathlib import Path

import torch
from torch import Tensor, nn

from models.symptoms.stripes import pictures

COMMAND = (
    "convert",
    "--arch",
    "models.symptoms.right_at_1_wrong_at_8:build",
    "--input",
    "Nx3x16x16",
    "-o",
    "x.onnx",
)
FINDS = ("ReduceMean in value 'mean' reduces over the batch axis", "Nothing was published")


class Attend(nn.Module):
    """Weighs channels by a mean; the mistake is in the axes of the mean."""

    def __init__(self, *, right: bool) -> None:
        super().__init__()
        self.axes = (2, 3) if right else (0, 2, 3)
        self.body = nn.Sequential(nn.Conv2d(3, 8, 3, 2, bias=False), nn.BatchNorm2d(8), nn.ReLU())

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.body(x)
        return (y * y.mean(self.axes, keepdim=True).sigmoid()).mean((2, 3))


def build(*, right: bool = False) -> nn.Module:
    """The network."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = Attend(right=right)
    norm = net.body[1]
    norm.running_mean.normal_(generator=torch.Generator().manual_seed(1))  # type: ignore[operator, union-attr]
    norm.num_batches_tracked.fill_(1)  # type: ignore[operator, union-attr]
    return net.eval()


def plant(folder: Path) -> None:
    """Nothing: the command builds the network."""


def symptom(folder: Path) -> dict[str, float]:
    """How far a sample's output in a batch of 8 is from its output alone."""
    return {"moved by its batch": _moved(build())}


def repair(folder: Path) -> dict[str, float]:
    """The mean over the sample's own axes; and the file is published."""
    from models.symptoms.commands import run

    mended = [*COMMAND, "--arch-args", '{"right": true}']
    return {"moved by its batch": _moved(build(right=True)), "exit code": run(mended, folder).code}


def _moved(net: nn.Module) -> float:
    x = pictures(8, 3)[0]
    with torch.no_grad():
        together, alone = net(x), torch.cat([net(each) for each in x.split(1)])
    return float((together - alone).abs().max())
