"""A mobile network; the trap: depthwise convolutions, one filter a group, with gates between."""

from torch import Tensor, nn

from models.training import trained

INPUT = ("Nx3x64x64",)


def conv_bn(
    inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1
) -> nn.Sequential:
    """Convolution without bias, and BatchNorm."""
    padding = kernel // 2
    conv = nn.Conv2d(inputs, outputs, kernel, stride, padding, groups=groups, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(outputs, eps=1e-3, momentum=0.01))


class Gate(nn.Module):
    """Squeeze and excitation: weigh the channels by what the whole image holds."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.reduce = nn.Conv2d(channels, channels // 4, 1)
        self.expand = nn.Conv2d(channels // 4, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        weights = self.expand(self.reduce(x.mean((2, 3), keepdim=True)).relu())
        return x * nn.functional.hardsigmoid(weights)


class InvertedResidual(nn.Module):
    """Expand, filter each channel by itself, gate, project; add the input where shapes agree."""

    def __init__(self, inputs: int, outputs: int, stride: int, expansion: int = 4) -> None:
        super().__init__()
        hidden = inputs * expansion
        self.body = nn.Sequential(
            conv_bn(inputs, hidden, 1),
            nn.Hardswish(),
            conv_bn(hidden, hidden, 3, stride, groups=hidden),
            nn.Hardswish(),
            Gate(hidden),
            conv_bn(hidden, outputs, 1),
        )
        self.residual = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        y = self.body(x)
        return x + y if self.residual else y


class DepthwiseMobile(nn.Module):
    """A stem, six inverted residuals, a linear head behind a BatchNorm."""

    def __init__(self, classes: int = 10) -> None:
        super().__init__()
        self.stem = nn.Sequential(conv_bn(3, 16, 3, 2), nn.Hardswish())
        plan = [(16, 16, 1), (16, 24, 2), (24, 24, 1), (24, 40, 2), (40, 40, 1), (40, 40, 1)]
        self.blocks = nn.Sequential(*(InvertedResidual(*row) for row in plan))
        self.neck = nn.Sequential(nn.Linear(40, 64, bias=False), nn.BatchNorm1d(64))
        self.head = nn.Linear(64, classes)

    def forward(self, x: Tensor) -> Tensor:
        features = self.blocks(self.stem(x)).mean((2, 3))
        return self.head(nn.functional.hardswish(self.neck(features)))


def build(seed: int = 0) -> nn.Module:
    """The mobile network, as after training."""
    return trained(DepthwiseMobile, seed, (3, 64, 64))
