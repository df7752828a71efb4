"""A small U-Net: the one network of the zoo with transposed convolutions, and none of timm's."""

from __future__ import annotations

import torch
from torch import Tensor, nn

__all__ = ["SHAPE", "UNet"]

SHAPE = (3, 128, 128)


def double_conv(inputs: int, outputs: int) -> nn.Sequential:
    """Twice convolution, BatchNorm, ReLU."""
    layers: list[nn.Module] = []
    for channels in (inputs, outputs):
        layers += [
            nn.Conv2d(channels, outputs, 3, padding=1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(inplace=True),
        ]
    return nn.Sequential(*layers)


def up(inputs: int, outputs: int) -> nn.Sequential:
    """Twice the height and width."""
    return nn.Sequential(
        nn.ConvTranspose2d(inputs, outputs, 2, stride=2, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )


class UNet(nn.Module):
    """Four scales down and up; one logit map a class."""

    def __init__(self, classes: int = 2, width: int = 24) -> None:
        super().__init__()
        widths = [width << scale for scale in range(4)]
        self.downs = nn.ModuleList(map(double_conv, [3, *widths[:-1]], widths))
        self.ups = nn.ModuleList(map(up, widths[:0:-1], widths[-2::-1]))
        self.joins = nn.ModuleList(map(double_conv, widths[:0:-1], widths[-2::-1]))
        self.pool = nn.MaxPool2d(2)
        self.head = nn.Conv2d(width, classes, 1)

    def forward(self, image: Tensor) -> Tensor:
        x, skips = image, []
        for down in self.downs:
            x = down(self.pool(x) if skips else x)
            skips.append(x)
        for rise, join, skip in zip(self.ups, self.joins, skips[-2::-1], strict=True):
            x = join(torch.cat([skip, rise(x)], dim=1))
        logits: Tensor = self.head(x)
        return logits
