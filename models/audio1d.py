"""A 1-D net on raw audio; the trap: BatchNorm after ReLU, to fold forward only, past padding."""

from torch import Tensor, nn

from models.training import trained

INPUT = ("Nx1x4096",)


def block(inputs: int, outputs: int, kernel: int, stride: int) -> nn.Sequential:
    """Convolution, ReLU, and only then BatchNorm."""
    return nn.Sequential(
        nn.Conv1d(inputs, outputs, kernel, stride, padding=kernel // 2),
        nn.ReLU(),
        nn.BatchNorm1d(outputs),
    )


class Audio1d(nn.Module):
    """Strided blocks over the waveform, then mean and maximum over time, then a classifier."""

    def __init__(self, classes: int = 12) -> None:
        super().__init__()
        self.front = block(1, 16, 65, 8)
        self.blocks = nn.Sequential(block(16, 32, 9, 4), block(32, 48, 5, 2), block(48, 64, 3, 2))
        self.hidden = nn.Linear(64, 32)
        self.norm = nn.BatchNorm1d(32)
        self.drop = nn.Dropout(0.2)
        self.head = nn.Linear(32, classes)

    def forward(self, wave: Tensor) -> Tensor:
        frames = self.blocks(self.front(wave))
        pooled = frames.mean(-1) + frames.amax(-1)
        return self.head(self.drop(self.norm(self.hidden(pooled).relu())))


def build(seed: int = 0) -> nn.Module:
    """The audio network, as after training."""
    return trained(Audio1d, seed, (1, 4096))
