"""Audio networks as they are written: on the wave, on spectrograms, with recurrent layers."""

from __future__ import annotations

import itertools

import torch
from torch import Tensor, nn
from torch.nn import functional

__all__ = ["M5", "NETWORKS", "Demucs", "KeywordNet", "SpectrogramCrnn", "TcnStack"]


def block(inputs: int, outputs: int, size: int, **options: int) -> nn.Sequential:
    layers = [
        nn.Conv1d(inputs, outputs, size, bias=False, **options),
        nn.BatchNorm1d(outputs),
        nn.ReLU(),
    ]
    return nn.Sequential(*layers)


class M5(nn.Module):
    """Raw waves to classes (Dai et al., 2017)."""

    def __init__(self, width: int = 64, classes: int = 35) -> None:
        super().__init__()
        self.body = nn.Sequential(
            block(1, width, 80, stride=16),
            nn.MaxPool1d(4),
            block(width, width, 3),
            nn.MaxPool1d(4),
            block(width, 2 * width, 3),
            nn.MaxPool1d(4),
            block(2 * width, 2 * width, 3),
        )
        self.head = nn.Linear(2 * width, classes)

    def forward(self, x: Tensor) -> Tensor:
        y = self.body(x)
        y = functional.avg_pool1d(y, y.shape[-1]).permute(0, 2, 1)
        return functional.log_softmax(self.head(y), dim=2)


class SpectrogramCrnn(nn.Module):
    """Convolutions over a spectrogram, a GRU over time."""

    def __init__(self) -> None:
        super().__init__()
        sizes = ((1, 32), (32, 64), (64, 64))
        self.body = nn.Sequential(
            *(
                nn.Sequential(
                    nn.Conv2d(i, o, 3, padding=1), nn.BatchNorm2d(o), nn.ELU(), nn.MaxPool2d((2, 2))
                )
                for i, o in sizes
            )
        )
        self.over_time = nn.GRU(64 * 8, 64, num_layers=2, bidirectional=True, batch_first=True)
        self.head = nn.Linear(128, 10)

    def forward(self, x: Tensor) -> Tensor:
        y = self.body(x).permute(0, 3, 1, 2).flatten(2)
        y, _ = self.over_time(y)
        return self.head(y.mean(1))


class TcnStack(nn.Module):
    """Dilated causal convolutions with skips (Bai et al., 2018)."""

    def __init__(self, width: int = 48) -> None:
        super().__init__()
        self.first = nn.Conv1d(2, width, 1)
        self.blocks = nn.ModuleList(
            nn.Sequential(
                nn.ConstantPad1d((2 * 2**i, 0), 0.0),
                block(width, width, 3, dilation=2**i),
                nn.Conv1d(width, width, 1),
            )
            for i in range(5)
        )
        self.last = nn.Conv1d(width, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        y = self.first(x)
        for each in self.blocks:
            y = y + each(y)
        return torch.tanh(self.last(y))


class Demucs(nn.Module):
    """Encoder, LSTM and decoder on the wave, with gated convolutions (Defossez et al., 2019)."""

    def __init__(self, width: int = 16) -> None:
        super().__init__()
        widths = (2, width, 2 * width)
        self.down = nn.ModuleList(
            nn.Sequential(nn.Conv1d(i, o, 8, 4), nn.ReLU(), nn.Conv1d(o, 2 * o, 1), nn.GLU(1))
            for i, o in itertools.pairwise(widths)
        )
        self.over_time = nn.LSTM(2 * width, 2 * width, bidirectional=True)
        self.turn = nn.Linear(4 * width, 2 * width)
        self.up = nn.ModuleList(
            nn.Sequential(
                nn.Conv1d(o, 2 * o, 3, padding=1), nn.GLU(1), nn.ConvTranspose1d(o, i, 8, 4)
            )
            for i, o in zip((*widths[:0:-1][1:], 2), widths[:0:-1], strict=True)
        )

    def forward(self, x: Tensor) -> Tensor:
        skips = []
        for each in self.down:
            x = each(x)
            skips.append(x)
        y, _ = self.over_time(x.permute(2, 0, 1))
        x = self.turn(y).permute(1, 2, 0)
        for each in self.up:
            skip = skips.pop()
            x = each(x + skip[..., : x.shape[-1]])
        return x


class KeywordNet(nn.Module):
    """Depthwise separable convolutions over features (Zhang et al., 2017)."""

    def __init__(self, width: int = 64) -> None:
        super().__init__()
        self.first = nn.Sequential(
            nn.Conv2d(1, width, (10, 4), 2, (5, 1)), nn.BatchNorm2d(width), nn.ReLU6()
        )
        self.blocks = nn.Sequential(*(self._separable(width) for _ in range(4)))
        self.head = nn.Linear(width, 12)

    @staticmethod
    def _separable(width: int) -> nn.Sequential:
        depth = nn.Conv2d(width, width, 3, padding=1, groups=width, bias=False)
        point = nn.Conv2d(width, width, 1, bias=False)
        return nn.Sequential(
            depth, nn.BatchNorm2d(width), nn.ReLU(), point, nn.BatchNorm2d(width), nn.ReLU()
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.blocks(self.first(x)).mean((-2, -1)))


NETWORKS = {
    "m5": (M5, (1, 16000)),
    "crnn": (SpectrogramCrnn, (1, 64, 96)),
    "tcn": (TcnStack, (2, 4000)),
    "demucs": (Demucs, (2, 4084)),
    "keywords": (KeywordNet, (1, 49, 10)),
}
