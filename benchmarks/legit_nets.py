"""The networks and the classes that `legit_files` saves."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn


def small() -> nn.Sequential:
    """A convolution, a BatchNorm with statistics of its own, a head."""
    net = nn.Sequential(
        *(nn.Conv2d(3, 4, 3, bias=False), nn.BatchNorm2d(4), nn.ReLU()),
        *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2)),
    )
    with torch.no_grad():
        net(torch.randn(8, 3, 8, 8))
    return net


class Mode(enum.Enum):
    """A choice."""

    FAST = "fast"


@dataclass
class Config:
    """Settings."""

    width: int = 4
    mode: Mode = Mode.FAST


class Net(nn.Module):
    """A module with settings, and a factory of layers among its attributes."""

    def __init__(self) -> None:
        super().__init__()
        self.config = Config()
        self.norm_layer = partial(nn.BatchNorm2d, eps=1e-3)
        self.conv = nn.Conv2d(3, 4, 3)
        self.norm = self.norm_layer(4)

    def forward(self, x: Tensor) -> Tensor:
        """Normalised."""
        result: Tensor = self.norm(self.conv(x))
        return result


class Tied(nn.Module):
    """An embedding that is the head, too."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(7, 4)
        self.head = nn.Linear(4, 7, bias=False)
        self.head.weight = self.embed.weight

    def forward(self, x: Tensor) -> Tensor:
        """Scores."""
        result: Tensor = self.head(self.embed(x))
        return result


def hook(module: nn.Module, given: object, output: Tensor) -> Tensor:
    """A forward hook."""
    return output
