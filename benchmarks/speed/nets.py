"""Networks whose conversion is timed: torch and nothing else, so that no other library's import is in the figures.

python benchmarks/speed/nets.py FOLDER [NAME ...]   writes each as a pickled module, FOLDER/NAME.pt
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

__all__ = ["NETWORKS", "build", "shape_of"]


def conv(
    inputs: int,
    outputs: int,
    size: int = 3,
    stride: int = 1,
    groups: int = 1,
    act: type[nn.Module] | None = nn.ReLU,
) -> nn.Sequential:
    """Convolution, BatchNorm, activation."""
    layers = [
        nn.Conv2d(inputs, outputs, size, stride, size // 2, groups=groups, bias=False),
        nn.BatchNorm2d(outputs),
    ]
    return nn.Sequential(*layers, *([act()] if act else []))


class Bottleneck(nn.Module):
    """1x1, 3x3, 1x1 and a way around."""

    def __init__(self, inputs: int, width: int, stride: int) -> None:
        super().__init__()
        outputs = 4 * width
        self.body = nn.Sequential(
            conv(inputs, width, 1), conv(width, width, 3, stride), conv(width, outputs, 1, act=None)
        )
        other = stride > 1 or inputs != outputs
        self.around = conv(inputs, outputs, 1, stride, act=None) if other else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return functional.relu(self.body(x) + self.around(x))


class ResNet(nn.Module):
    """ResNet-50 (He et al., 2015; stride in the 3x3), of any width and depth."""

    def __init__(self, width: int = 64, depths: Sequence[int] = (3, 4, 6, 3)) -> None:
        super().__init__()
        self.stem = nn.Sequential(conv(3, width, 7, 2), nn.MaxPool2d(3, 2, 1))
        inputs, blocks = width, []
        for stage, depth in enumerate(depths):
            for place in range(depth):
                blocks.append(Bottleneck(inputs, width << stage, 1 + (stage > 0 and not place)))
                inputs = 4 * (width << stage)
        self.body = nn.Sequential(*blocks)
        self.head = nn.Linear(inputs, 1000)

    def forward(self, x: Tensor) -> Tensor:
        y = functional.adaptive_avg_pool2d(self.body(self.stem(x)), 1)
        return self.head(y.flatten(1))


class Excite(nn.Module):
    """Squeeze and excite."""

    def __init__(self, channels: int, inner: int) -> None:
        super().__init__()
        self.down, self.up = nn.Conv2d(channels, inner, 1), nn.Conv2d(inner, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        y = functional.relu(self.down(functional.adaptive_avg_pool2d(x, 1)))
        return x * functional.hardsigmoid(self.up(y))


class Inverted(nn.Module):
    """1x1 up, depthwise, 1x1 down."""

    def __init__(
        self,
        inputs: int,
        inner: int,
        outputs: int,
        size: int,
        stride: int,
        excited: bool,
        act: type,
    ) -> None:
        super().__init__()
        layers = [conv(inputs, inner, 1, act=act)] if inner != inputs else []
        layers += [conv(inner, inner, size, stride, inner, act)]
        if excited:
            layers += [Excite(inner, max(8, (inner // 4 + 4) // 8 * 8))]
        self.body = nn.Sequential(*layers, conv(inner, outputs, 1, act=None))
        self.around = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        y = self.body(x)
        return x + y if self.around else y


class MobileNetV3(nn.Module):
    """MobileNetV3-Large (Howard et al., 2019)."""

    ROWS = (
        *((3, 16, 16, 0, 0, 1), (3, 64, 24, 0, 0, 2), (3, 72, 24, 0, 0, 1), (5, 72, 40, 1, 0, 2)),
        *((5, 120, 40, 1, 0, 1), (5, 120, 40, 1, 0, 1), (3, 240, 80, 0, 1, 2)),
        *((3, 200, 80, 0, 1, 1), (3, 184, 80, 0, 1, 1), (3, 184, 80, 0, 1, 1)),
        *((3, 480, 112, 1, 1, 1), (3, 672, 112, 1, 1, 1), (5, 672, 160, 1, 1, 2)),
        *((5, 960, 160, 1, 1, 1), (5, 960, 160, 1, 1, 1)),
    )

    def __init__(self) -> None:
        super().__init__()
        inputs, layers = 16, [conv(3, 16, 3, 2, act=nn.Hardswish)]
        for size, inner, outputs, excited, hard, stride in self.ROWS:
            act = nn.Hardswish if hard else nn.ReLU
            layers.append(Inverted(inputs, inner, outputs, size, stride, bool(excited), act))
            inputs = outputs
        self.body = nn.Sequential(*layers, conv(inputs, 960, 1, act=nn.Hardswish))
        self.head = nn.Sequential(
            nn.Linear(960, 1280), nn.Hardswish(), nn.Dropout(0.2), nn.Linear(1280, 1000)
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.head(functional.adaptive_avg_pool2d(self.body(x), 1).flatten(1))


class Dense(nn.Module):
    """One layer of a dense block: BatchNorm comes first, after a concatenation."""

    def __init__(self, inputs: int, growth: int) -> None:
        super().__init__()
        self.first = nn.Sequential(
            nn.BatchNorm2d(inputs), nn.ReLU(), nn.Conv2d(inputs, 4 * growth, 1, bias=False)
        )
        self.second = nn.Sequential(
            nn.BatchNorm2d(4 * growth),
            nn.ReLU(),
            nn.Conv2d(4 * growth, growth, 3, padding=1, bias=False),
        )

    def forward(self, before: list[Tensor]) -> Tensor:
        return self.second(self.first(torch.cat(before, 1)))


class DenseNet(nn.Module):
    """DenseNet-121 (Huang et al., 2016), of any depth."""

    def __init__(self, blocks: Sequence[int] = (6, 12, 24, 16), growth: int = 32) -> None:
        super().__init__()
        width = 2 * growth
        self.stem = nn.Sequential(conv(3, width, 7, 2), nn.MaxPool2d(3, 2, 1))
        self.blocks, self.between = nn.ModuleList(), nn.ModuleList()
        for index, count in enumerate(blocks):
            layers = [Dense(width + place * growth, growth) for place in range(count)]
            self.blocks.append(nn.ModuleList(layers))
            width += count * growth
            if index + 1 < len(blocks):
                self.between.append(
                    nn.Sequential(
                        nn.BatchNorm2d(width),
                        nn.ReLU(),
                        nn.Conv2d(width, width // 2, 1, bias=False),
                        nn.AvgPool2d(2),
                    )
                )
                width //= 2
        self.last, self.head = nn.BatchNorm2d(width), nn.Linear(width, 1000)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for index, block in enumerate(self.blocks):
            made = [x]
            for layer in block:
                made.append(layer(made))
            x = torch.cat(made, 1)
            if index < len(self.between):
                x = self.between[index](x)
        y = functional.adaptive_avg_pool2d(functional.relu(self.last(x)), 1)
        return self.head(y.flatten(1))


class UNet(nn.Module):
    """U-Net of five scales with transposed convolutions (Ronneberger et al., 2015)."""

    def __init__(self, width: int = 32, scales: int = 5) -> None:
        super().__init__()
        widths = [width << scale for scale in range(scales)]
        self.down = nn.ModuleList(
            nn.Sequential(conv(i, o), conv(o, o))
            for i, o in zip([3, *widths[:-1]], widths, strict=True)
        )
        pairs = list(zip(widths[:0:-1], widths[-2::-1], strict=True))
        self.up = nn.ModuleList(
            nn.Sequential(nn.ConvTranspose2d(i, o, 2, 2, bias=False), nn.BatchNorm2d(o), nn.ReLU())
            for i, o in pairs
        )
        self.join = nn.ModuleList(nn.Sequential(conv(i, o), conv(o, o)) for i, o in pairs)
        self.head = nn.Conv2d(width, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        skips: list[Tensor] = []
        for down in self.down:
            x = down(functional.max_pool2d(x, 2) if skips else x)
            skips.append(x)
        for up, join, skip in zip(self.up, self.join, skips[-2::-1], strict=True):
            x = join(torch.cat([skip, up(x)], 1))
        return self.head(x)


class C2f(nn.Module):
    """Two halves, of which one goes through ``depth`` blocks, all kept."""

    def __init__(self, inputs: int, outputs: int, depth: int, around: bool) -> None:
        super().__init__()
        half = outputs // 2
        self.first = conv(inputs, outputs, 1, act=nn.SiLU)
        self.blocks = nn.ModuleList(
            nn.Sequential(conv(half, half, act=nn.SiLU), conv(half, half, act=nn.SiLU))
            for _ in range(depth)
        )
        self.last = conv((2 + depth) * half, outputs, 1, act=nn.SiLU)
        self.around = around

    def forward(self, x: Tensor) -> Tensor:
        kept = list(self.first(x).chunk(2, 1))
        for block in self.blocks:
            y = block(kept[-1])
            kept.append(kept[-1] + y if self.around else y)
        return self.last(torch.cat(kept, 1))


class Pyramid(nn.Module):
    """Pooling over growing windows (YOLO's SPPF)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = conv(channels, channels // 2, 1, act=nn.SiLU)
        self.last = conv(2 * channels, channels, 1, act=nn.SiLU)

    def forward(self, x: Tensor) -> Tensor:
        pooled = [self.first(x)]
        for _ in range(3):
            pooled.append(functional.max_pool2d(pooled[-1], 5, 1, 2))
        return self.last(torch.cat(pooled, 1))


class Yolo(nn.Module):
    """A detector like YOLOv8n: C2f backbone, two ways of the pyramid, three heads with distributed boxes."""

    def __init__(self, classes: int = 80, bins: int = 16) -> None:
        super().__init__()

        def half(inputs: int, outputs: int) -> nn.Sequential:
            return conv(inputs, outputs, 3, 2, act=nn.SiLU)

        self.first = nn.Sequential(
            *(half(3, 16), half(16, 32), C2f(32, 32, 1, True), half(32, 64), C2f(64, 64, 2, True))
        )
        self.second = nn.Sequential(half(64, 128), C2f(128, 128, 2, True))
        self.third = nn.Sequential(half(128, 256), C2f(256, 256, 1, True), Pyramid(256))
        self.up4, self.up3 = C2f(384, 128, 1, False), C2f(192, 64, 1, False)
        self.to4, self.down4 = half(64, 64), C2f(192, 128, 1, False)
        self.to5, self.down5 = half(128, 128), C2f(384, 256, 1, False)
        self.boxes = nn.ModuleList(self._head(c, 64, 4 * bins) for c in (64, 128, 256))
        self.scores = nn.ModuleList(self._head(c, 80, classes) for c in (64, 128, 256))
        self.classes, self.bins = classes, bins
        self.register_buffer("steps", torch.arange(bins * 1.0).view(1, bins, 1, 1))

    @staticmethod
    def _head(inputs: int, inner: int, outputs: int) -> nn.Sequential:
        layers = conv(inputs, inner, act=nn.SiLU), conv(inner, inner, act=nn.SiLU)
        return nn.Sequential(*layers, nn.Conv2d(inner, outputs, 1))

    def forward(self, x: Tensor) -> Tensor:
        three = self.first(x)
        four = self.second(three)
        five = self.third(four)
        up = functional.interpolate
        u4 = self.up4(torch.cat([up(five, scale_factor=2.0), four], 1))
        u3 = self.up3(torch.cat([up(u4, scale_factor=2.0), three], 1))
        d4 = self.down4(torch.cat([self.to4(u3), u4], 1))
        d5 = self.down5(torch.cat([self.to5(d4), five], 1))
        heads = [
            torch.cat([box(y), score(y)], 1).flatten(2)
            for y, box, score in zip((u3, d4, d5), self.boxes, self.scores, strict=True)
        ]
        boxes, scores = torch.cat(heads, 2).split((4 * self.bins, self.classes), 1)
        n, _, places = boxes.shape
        sides = boxes.view(n, 4, self.bins, places).transpose(1, 2).softmax(1)
        return torch.cat([(sides * self.steps).sum(1), scores.sigmoid()], 1)


class Waves(nn.Module):
    """Raw waves to classes, as deep as M34 (Dai et al., 2017)."""

    def __init__(self, depths: Sequence[int] = (3, 4, 6, 3), width: int = 48) -> None:
        super().__init__()
        layers = [self._block(1, width, 80, 4), nn.MaxPool1d(4)]
        inputs = width
        for stage, depth in enumerate(depths):
            for _ in range(depth):
                layers += [
                    self._block(inputs, width << stage, 3),
                    self._block(width << stage, width << stage, 3),
                ]
                inputs = width << stage
            layers += [nn.MaxPool1d(4)]
        self.body, self.head = nn.Sequential(*layers), nn.Linear(inputs, 35)

    @staticmethod
    def _block(inputs: int, outputs: int, size: int, stride: int = 1) -> nn.Sequential:
        layer = nn.Conv1d(inputs, outputs, size, stride, size // 2, bias=False)
        return nn.Sequential(layer, nn.BatchNorm1d(outputs), nn.ReLU())

    def forward(self, x: Tensor) -> Tensor:
        return functional.log_softmax(self.head(self.body(x).mean(-1)), -1)


class Chain(nn.Module):
    """``layers`` small convolutions in a row, each with a BatchNorm.

    Each is the identity and a little more, on the positive side of its ReLU: thousands of others would be chaos, in
    which rounding grows from layer to layer.
    """

    def __init__(self, layers: int, width: int = 8) -> None:
        super().__init__()
        self.body = nn.Sequential(*(conv(3 if not i else width, width) for i in range(layers)))
        for layer in self.body:
            nn.init.dirac_(layer[0].weight)
            layer[0].weight.data += 0.01 * torch.randn_like(layer[0].weight)
            nn.init.constant_(layer[1].bias, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x)


_IMAGE = (3, 224, 224)
_FEW = (3, 96, 96)
NETWORKS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "resnet50": (ResNet, _IMAGE),
    "mobilenetv3": (MobileNetV3, _IMAGE),
    "densenet121": (DenseNet, _IMAGE),
    "yolov8n": (Yolo, (3, 320, 320)),
    "unet": (UNet, (3, 256, 256)),
    "audio": (Waves, (1, 16000)),
    "wide1g": (lambda: ResNet(224), _FEW),  # 1.18 GB of weights: one protobuf still holds them
    "wide3g": (lambda: ResNet(352), _FEW),  # 2.88 GB: none does
    "wide10g": (lambda: ResNet(656), _FEW),
}


def shape_of(name: str) -> tuple[int, ...]:
    """Of one sample."""
    return NETWORKS[name][1] if name in NETWORKS else (3, 8, 8)


def build(name: str, seed: int = 0) -> nn.Module:
    """In eval mode, with running statistics as of a first epoch, and scales that are no ones.

    ``chain-500`` is a `Chain` of that many layers, ``dense-24`` a `DenseNet` with a block of that many.
    """
    torch.manual_seed(seed)
    kind, _, size = name.partition("-")
    if kind == "chain":
        module: nn.Module = Chain(int(size))
    elif kind == "dense":
        module = DenseNet((int(size),), 8)
    elif kind == "width":
        module = ResNet(int(size))
    else:
        module = NETWORKS[name][0]()
    with torch.no_grad():
        for layer in module.modules():
            if isinstance(layer, nn.modules.batchnorm._BatchNorm):
                if kind != "chain":
                    layer.weight.uniform_(0.8, 1.2)
                    layer.bias.normal_(0, 0.1)
                layer.momentum = 1.0
        module.train()(torch.randn(2, *shape_of(name)))
        for layer in module.modules():
            if isinstance(layer, nn.modules.batchnorm._BatchNorm):
                layer.momentum = 0.1
    return module.eval()


def main() -> None:
    """Write them."""
    folder, *names = sys.argv[1:]
    Path(folder).mkdir(parents=True, exist_ok=True)
    sys.modules["nets"] = sys.modules[__name__]  # what the pickles name
    for kind in list(vars(sys.modules[__name__]).values()):
        if isinstance(kind, type) and kind.__module__ == "__main__":
            kind.__module__ = "nets"
    for name in names or list(NETWORKS)[:6]:
        torch.save(build(name), Path(folder) / f"{name}.pt")


if __name__ == "__main__":
    main()
