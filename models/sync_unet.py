"""A U-Net trained on several GPUs; the trap: SyncBatchNorm, also behind ConvTranspose."""

import torch
from torch import Tensor, nn

from models.training import trained

INPUT = ("Nx3x64x64",)


def double_conv(inputs: int, outputs: int) -> nn.Sequential:
    """Twice convolution, SyncBatchNorm, ReLU."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, padding=1, bias=False),
        nn.SyncBatchNorm(outputs),
        nn.ReLU(inplace=True),
        nn.Conv2d(outputs, outputs, 3, padding=1, bias=False),
        nn.SyncBatchNorm(outputs),
        nn.ReLU(inplace=True),
    )


class Up(nn.Module):
    """Upsample by a transposed convolution, join the skip connection, convolve."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.up = nn.Sequential(
            nn.ConvTranspose2d(inputs, outputs, 2, stride=2), nn.SyncBatchNorm(outputs)
        )
        self.conv = double_conv(2 * outputs, outputs)

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        return self.conv(torch.cat([skip, torch.relu(self.up(x))], dim=1))


class SyncUNet(nn.Module):
    """Three scales down and up; one logit map a class."""

    def __init__(self, classes: int = 2, width: int = 12) -> None:
        super().__init__()
        self.down1 = double_conv(3, width)
        self.down2 = double_conv(width, 2 * width)
        self.bottom = double_conv(2 * width, 4 * width)
        self.pool = nn.MaxPool2d(2)
        self.up2 = Up(4 * width, 2 * width)
        self.up1 = Up(2 * width, width)
        self.head = nn.Conv2d(width, classes, 1)

    def forward(self, image: Tensor) -> Tensor:
        x1 = self.down1(image)
        x2 = self.down2(self.pool(x1))
        x = self.bottom(self.pool(x2))
        return self.head(self.up1(self.up2(x, x2), x1))


def build(seed: int = 0) -> nn.Module:
    """The U-Net, as after training."""
    return trained(SyncUNet, seed, (3, 64, 64))
