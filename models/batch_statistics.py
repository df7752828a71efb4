"""A style network; the trap: track_running_stats=False, batch statistics in eval: to be refused."""

from torch import Tensor, nn

from models.training import trained

INPUT = ("Nx3x32x32",)


def conv(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    """Convolution, a BatchNorm that keeps no statistics, ReLU."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, stride, padding=1),
        nn.BatchNorm2d(outputs, track_running_stats=False),
        nn.ReLU(),
    )


class BatchStatistics(nn.Module):
    """An encoder and a decoder: each picture comes out in the colours of its whole batch."""

    def __init__(self, width: int = 16) -> None:
        super().__init__()
        self.encoder = nn.Sequential(conv(3, width), conv(width, 2 * width, stride=2))
        self.decoder = nn.Sequential(
            nn.Upsample(scale_factor=2), conv(2 * width, width), nn.Conv2d(width, 3, 3, padding=1)
        )

    def forward(self, image: Tensor) -> Tensor:
        return self.decoder(self.encoder(image)).sigmoid()


def build(seed: int = 0) -> nn.Module:
    """The style network, as after training."""
    return trained(BatchStatistics, seed, (3, 32, 32))
