"""The network that faults are put into: a hundred convolutions, with an average pool, and two outputs."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from models.training import trained

BLOCKS = 49
WIDTH = 16
INPUT = ("Nx3x16x16",)


class Block(nn.Module):
    """Two convolutions and a sum."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)

    def forward(self, x: Tensor) -> Tensor:
        y = functional.relu(self.bn1(self.conv1(x)))
        return functional.relu(0.5 * self.bn2(self.conv2(y)) + x)


class Network(nn.Module):
    """Stem, blocks, pool, head."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, WIDTH, 3, padding=1, bias=False)
        self.bn = nn.BatchNorm2d(WIDTH)
        self.pool = nn.AvgPool2d(3, 1, padding=1)
        self.blocks = nn.ModuleList(Block(WIDTH) for _ in range(BLOCKS))
        self.neck = nn.Conv2d(WIDTH, WIDTH, 1)
        self.head = nn.Linear(WIDTH, WIDTH)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        y = self.pool(functional.relu(self.bn(self.stem(x))))
        for block in self.blocks:
            y = block(y)
        features = self.neck(y).mean((2, 3))
        return {"logits": self.head(features), "features": features}


def build() -> nn.Module:
    """With statistics as after training."""
    return trained(Network, 0, (3, 16, 16))
