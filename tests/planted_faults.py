"""Networks with one fault each, and the finding that must name it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import nn

X = torch.randn(4, 3, 8, 8, generator=torch.Generator().manual_seed(0))


class Net(nn.Module):
    """Two convolutions with BatchNorms, one of them in a block, dropout and a classifier."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1, bias=False)
        self.bn = nn.BatchNorm2d(8)
        self.act = nn.ReLU()
        self.block = nn.Sequential(
            nn.Conv2d(8, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU()
        )
        self.drop = nn.Dropout(0.3)
        self.fc = nn.Linear(16, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.act(self.bn(self.stem(x)))
        return self.fc(self.drop(self.block(x).mean((2, 3))))


class Frozen(nn.Module):
    """As detection packages have it: statistics and affine, all buffers."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        made = torch.Generator().manual_seed(1)
        self.register_buffer("weight", torch.rand(channels, generator=made) + 0.5)
        self.register_buffer("bias", torch.randn(channels, generator=made))
        self.register_buffer("running_mean", torch.randn(channels, generator=made))
        self.register_buffer("running_var", torch.rand(channels, generator=made) + 0.5)
        self.eps = 1e-5

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        scale = self.weight * (self.running_var + self.eps).rsqrt()
        shift = self.bias - self.running_mean * scale
        return x * scale[:, None, None] + shift[:, None, None]


def trained(module: nn.Module, batches: int = 500) -> nn.Module:
    """Statistics as training leaves them, in eval mode."""
    made = torch.Generator().manual_seed(2)
    for each in module.modules():
        if isinstance(each, nn.modules.batchnorm._BatchNorm) and each.running_mean is not None:
            each.running_mean.normal_(generator=made)
            each.running_var.uniform_(0.3, 3.0, generator=made)
            each.num_batches_tracked.fill_(batches)
            if each.weight is not None:
                each.weight.data.uniform_(0.5, 1.5, generator=made)
    return module.eval()


@dataclass(frozen=True)
class Fault:
    """What is planted, and the finding that names it."""

    name: str
    make: Callable[[], nn.Module]
    code: str
    layer: str
    severity: str
    inputs: tuple[torch.Tensor, ...] = (X,)


def _changed(change: Callable[[Net], object]) -> Callable[[], nn.Module]:
    def make() -> nn.Module:
        net = trained(Net())
        change(net)
        return net

    return make


def _set(name: str, value: float, *, layer: str = "bn", at: object = 3) -> Callable[[Net], object]:
    def change(net: Net) -> None:
        getattr(net.get_submodule(layer), name).data[at] = value

    return change


def _behind(*layers: nn.Module) -> Callable[[], nn.Module]:
    return lambda: trained(nn.Sequential(*layers))


class Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.rnn = nn.GRU(6, 8, batch_first=True)
        self.bn = nn.BatchNorm1d(8)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.bn(self.rnn(x)[0].transpose(1, 2))


class OverSteps(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc, self.bn = nn.Linear(6, 8, bias=False), nn.BatchNorm1d(8)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.bn(self.fc(x).transpose(1, 2))


class Twice(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.left, self.right = nn.Conv2d(3, 4, 1, bias=False), nn.Conv2d(3, 4, 1, bias=False)
        self.bn = nn.BatchNorm2d(4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.bn(self.left(x)) + self.bn(self.right(x))


def _registered_twice() -> nn.Module:
    bn = nn.BatchNorm2d(3)
    return trained(
        nn.Sequential(nn.Conv2d(3, 3, 1, bias=False), bn, nn.Conv2d(3, 3, 1, bias=False), bn)
    )


def _never(net: Net) -> None:
    net.block[1].reset_running_stats()


def _untracked(net: Net) -> None:
    net.block[1] = nn.BatchNorm2d(16, track_running_stats=False).eval()


def _frozen_class(net: Net) -> None:
    net.bn = Frozen(8).eval()


def _frozen_gradients(net: Net) -> None:
    for parameter in net.bn.parameters():
        parameter.requires_grad_(False)


def _live_dropout(net: Net) -> None:
    net.drop.train()


def faults() -> Iterator[Fault]:
    """One of each kind, and more of those with several faces."""
    inf, nan = float("inf"), float("nan")
    yield Fault(
        "the whole model in train mode", lambda: trained(Net()).train(), "BNX101", "", "warning"
    )
    yield Fault(
        "one layer in train mode",
        _changed(lambda n: n.block[1].train()),
        "BNX102",
        "block.1",
        "error",
    )
    yield Fault(
        "a block in train mode", _changed(lambda n: n.block.train()), "BNX102", "block.1", "error"
    )
    yield Fault("live dropout", _changed(_live_dropout), "BNX103", "drop", "error")
    yield Fault("no statistics", _changed(_untracked), "BNX104", "block.1", "error")
    yield Fault("never updated", _changed(_never), "BNX105", "block.1", "error")
    yield Fault(
        "the counter at zero",
        _changed(_set("num_batches_tracked", 0, at=...)),
        "BNX106",
        "bn",
        "note",
    )
    yield Fault("NaN in the mean", _changed(_set("running_mean", nan)), "BNX107", "bn", "error")
    yield Fault("Inf in the variance", _changed(_set("running_var", inf)), "BNX107", "bn", "error")
    yield Fault("NaN in gamma", _changed(_set("weight", nan)), "BNX107", "bn", "error")
    yield Fault(
        "a negative variance", _changed(_set("running_var", -1e-3)), "BNX108", "bn", "error"
    )
    yield Fault(
        "a negative variance that eps hides",
        _changed(_set("running_var", -1e-7)),
        "BNX108",
        "bn",
        "error",
    )
    yield Fault("a zero variance", _changed(_set("running_var", 0.0)), "BNX109", "bn", "warning")
    yield Fault(
        "a denormal variance", _changed(_set("running_var", 5.6e-45)), "BNX109", "bn", "warning"
    )
    yield Fault("a dead channel", _changed(_set("weight", 1e-12)), "BNX110", "bn", "note")
    yield Fault("a dead layer", _changed(_set("weight", 0.0, at=...)), "BNX110", "bn", "warning")
    yield Fault(
        "a scale beyond float16",
        _changed(lambda n: (_set("running_var", 0.0)(n), _set("weight", 3e4, at=...)(n))),
        *("BNX111", "bn", "warning"),
    )
    yield Fault(
        "a shift beyond float16", _changed(_set("running_mean", 1e6)), "BNX111", "bn", "warning"
    )
    yield Fault(
        "an eps that float16 loses",
        _changed(lambda n: setattr(n.bn, "eps", 1e-8)),
        "BNX112",
        "bn",
        "warning",
    )
    yield Fault("half precision", _changed(lambda n: n.bn.half()), "BNX113", "bn", "warning", ())
    yield Fault(
        "momentum 0", _changed(lambda n: setattr(n.bn, "momentum", 0.0)), "BNX114", "bn", "warning"
    )
    yield Fault(
        "momentum 1", _changed(lambda n: setattr(n.bn, "momentum", 1.0)), "BNX114", "bn", "warning"
    )
    yield Fault(
        "Keras's momentum",
        _changed(lambda n: setattr(n.bn, "momentum", 0.99)),
        "BNX114",
        "bn",
        "warning",
    )
    yield Fault(
        "no momentum", _changed(lambda n: setattr(n.bn, "momentum", None)), "BNX114", "bn", "note"
    )
    yield Fault(
        "a frozen class beside a live one", _changed(_frozen_class), "BNX115", "bn", "warning"
    )
    yield Fault("no gradients in one", _changed(_frozen_gradients), "BNX115", "bn", "warning")
    yield Fault(
        "SyncBatchNorm",
        lambda: nn.SyncBatchNorm.convert_sync_batchnorm(trained(Net())),
        *("BNX116", "bn", "note"),
    )
    yield Fault(
        "behind an activation",
        _behind(nn.Conv2d(3, 4, 1, bias=False), nn.ReLU(), nn.BatchNorm2d(4)),
        *("BNX117", "2", "note"),
    )
    yield Fault(
        "a redundant bias", _behind(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4)), "BNX118", "1", "note"
    )
    yield Fault(
        "one pixel",
        _behind(nn.AdaptiveAvgPool2d(1), nn.Conv2d(3, 4, 1, bias=False), nn.BatchNorm2d(4)),
        *("BNX119", "2", "warning"),
    )
    x = torch.randn(2, 5, 6, generator=torch.Generator().manual_seed(3))
    yield Fault("sequences", lambda: trained(Recurrent()), "BNX120", "bn", "warning", (x,))
    yield Fault(
        "a Linear over steps", lambda: trained(OverSteps()), "BNX120", "bn", "warning", (x,)
    )
    yield Fault("dropout in training", lambda: trained(Net()).train(), "BNX103", "drop", "warning")
    yield Fault("called twice", lambda: trained(Twice()), "BNX121", "bn", "warning")
    yield Fault("registered twice", _registered_twice, "BNX121", "1", "warning")
    yield Fault("float64", _changed(lambda n: n.bn.double()), "BNX122", "bn", "warning", ())
    yield Fault(
        "a mean far from zero",
        _changed(lambda n: (_set("running_mean", 60000.0)(n), _set("weight", 0.5)(n))),
        *("BNX123", "bn", "warning"),
    )
    yield Fault("fewer batches", _changed(_fewer), "BNX124", "block.1", "note")


def _fewer(net: Net) -> None:
    # A third layer, so that two agree.
    net.block.append(nn.Conv2d(16, 16, 1, bias=False))
    net.block.append(trained(nn.BatchNorm2d(16)))
    net.block[1].num_batches_tracked.fill_(3)
