"""A ResNet for small images; the trap: sums, whose addends end in BatchNorms of their own."""

from torch import Tensor, nn
from torch.nn import functional

from models.training import trained

INPUT = ("Nx3x32x32",)


class Block(nn.Module):
    """Two convolutions beside a shortcut; the shortcut projects where the shape changes."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.shortcut = nn.Sequential()
        if stride != 1 or inputs != outputs:
            self.shortcut = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs)
            )

    def forward(self, x: Tensor) -> Tensor:
        y = functional.relu(self.bn1(self.conv1(x)))
        return functional.relu(self.bn2(self.conv2(y)) + self.shortcut(x))


class ResidualClassifier(nn.Module):
    """Stem, three stages, global average pooling, a linear head."""

    def __init__(self, classes: int = 10, widths: tuple[int, ...] = (16, 32, 64)) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, widths[0], 3, padding=1, bias=False)
        self.bn = nn.BatchNorm2d(widths[0])
        blocks = []
        inputs = widths[0]
        for place, outputs in enumerate(widths):
            blocks += [Block(inputs, outputs, 2 if place else 1), Block(outputs, outputs, 1)]
            inputs = outputs
        self.stages = nn.Sequential(*blocks)
        self.head = nn.Linear(inputs, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stages(functional.relu(self.bn(self.stem(x))))
        return self.head(x.mean((2, 3)))


def build(seed: int = 0) -> nn.Module:
    """The classifier, as after training."""
    return trained(ResidualClassifier, seed, (3, 32, 32))
