"""A task that trains in seconds: which way do the stripes of a noisy picture run?"""

import functools
import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

__all__ = ["accuracy", "fit", "loss", "network", "pictures", "trained"]

SIDE = 16
CLIP = 25  # batches of one class in a row


def pictures(
    count: int, seed: int, *, gain: float = 1.0, offset: float = 0.0, only: int | None = None
) -> tuple[Tensor, Tensor]:
    """Pictures of shape (count, 3, 16, 16), and which of four ways their stripes run.

    Args:
        count: How many.
        seed: Of the draw.
        gain: By which every pixel is multiplied: another camera, another preprocessing.
        offset: Added to every pixel.
        only: The one way that all run.
    """
    made = torch.Generator().manual_seed(seed)
    label = torch.randint(0, 4, (count,), generator=made)
    if only is not None:
        label = torch.full_like(label, only)
    axis = torch.linspace(0, 3 * math.pi, SIDE)
    rows, columns = axis[:, None].expand(SIDE, SIDE), axis[None].expand(SIDE, SIDE)
    phase = 2 * math.pi * torch.rand(count, 1, 1, generator=made)
    waves = torch.stack([rows, columns, rows + columns, rows - columns])[label] + phase
    noise = torch.randn(count, 3, SIDE, SIDE, generator=made)
    return (waves.sin()[:, None] + 2.0 * noise) * gain + offset, label


def network(norm: Callable[[int], nn.Module] = nn.BatchNorm2d) -> nn.Module:
    """Two convolutions, each with its normalisation, and a classifier."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return nn.Sequential(
            *(nn.Conv2d(3, 8, 3, 2, padding=1, bias=False), norm(8), nn.ReLU()),
            *(nn.Conv2d(8, 16, 3, 2, padding=1, bias=False), norm(16), nn.ReLU()),
            *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 4)),
        )


def fit(
    net: nn.Module,
    steps: int = 150,
    batch: int = 32,
    rate: float = 0.02,
    *,
    seed: int = 100,
    ordered: bool = False,
    watch: Callable[[nn.Module], None] = lambda net: None,
) -> nn.Module:
    """Train in place, and leave in eval mode.

    Args:
        net: The network.
        steps: Batches.
        batch: Samples a batch.
        rate: Of learning; 0: only the running statistics move.
        seed: Of the first batch.
        ordered: Whether the classes come one after another, as the clips of one video do.
        watch: Called after each step.
    """
    optimiser = torch.optim.SGD(net.parameters(), rate, momentum=0.9)
    for step in range(steps):
        net.train()
        x, label = pictures(batch, seed + step, only=step // CLIP % 4 if ordered else None)
        optimiser.zero_grad()
        cross_entropy(net(x), label).backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        watch(net)
    return net.eval()


def trained() -> nn.Module:
    """The network after its training, in eval mode; a copy of its own for each caller."""
    net = network()
    net.load_state_dict(_weights())
    return net.eval()


@functools.cache
def _weights() -> dict[str, Tensor]:
    return fit(network()).state_dict()


def loss(net: nn.Module, **how: float) -> float:
    """On pictures that were not trained on, in eval mode."""
    x, label = pictures(512, 9, **how)  # type: ignore[arg-type]
    with torch.no_grad():
        return float(cross_entropy(net.eval()(x), label))


def accuracy(net: nn.Module, **how: float) -> float:
    """Likewise."""
    x, label = pictures(1024, 9, **how)  # type: ignore[arg-type]
    with torch.no_grad():
        return float((net.eval()(x).argmax(1) == label).double().mean())
