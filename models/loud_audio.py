"""An audio net fed with 16-bit amplitudes, as Kaldi's filter banks are; the trap: energies past float16's 65,504."""

import torch
from torch import Tensor, nn

from models.training import trained

INPUT = ("Nx1x2048",)
AMPLITUDE = 32768.0


class LoudAudio(nn.Module):
    """Learned filters, the energy in each, its logarithm, and a classifier over time."""

    def __init__(self, classes: int = 8) -> None:
        super().__init__()
        self.filters = nn.Conv1d(1, 24, 129, 16, padding=64, bias=False)
        self.smooth = nn.AvgPool1d(4)
        self.norm = nn.BatchNorm1d(24)
        self.body = nn.Sequential(
            nn.Conv1d(24, 48, 5, 2, padding=2, bias=False),
            nn.BatchNorm1d(48),
            nn.ReLU(),
            nn.Conv1d(48, 64, 3, padding=1, bias=False),
            nn.BatchNorm1d(64),
            nn.ReLU(),
        )
        self.head = nn.Linear(64, classes)

    def forward(self, wave: Tensor) -> Tensor:
        energy = self.smooth(self.filters(wave * AMPLITUDE).square())
        frames = self.body(self.norm(torch.log(energy + 1.0)))
        return self.head(frames.mean(-1))


def build(seed: int = 0) -> nn.Module:
    """The network, as after training."""
    return trained(LoudAudio, seed, (1, 2048))
