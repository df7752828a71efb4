"""A small network, pictures whose pixels are correlated, and running statistics of a large sample of them."""

import torch
from torch import nn

from bnexport.moments import Moments, watching


def generator(seed):
    return torch.Generator().manual_seed(seed)


def pictures(count, made, shift=0.0, scale=1.0):
    coarse = torch.randn(count, 3, 3, 3, generator=made)
    smooth = nn.functional.interpolate(coarse, size=(8, 8), mode="bilinear")
    return (smooth + 0.3 * torch.randn(count, 3, 8, 8, generator=made)) * scale + shift


def network():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 6, 3, padding=1),
        nn.BatchNorm2d(6),
        nn.ReLU(),
        nn.Conv2d(6, 8, 3, padding=1),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(8, 4),
    ).eval()


def calibrated(samples=40_000):
    """The network with the statistics that `samples` pictures have, layer by layer."""
    net = network()
    batch = pictures(samples, generator(1))
    with torch.no_grad():
        for name in ("1", "4"):
            layer, seen = net.get_submodule(name), []
            with watching(
                {name: layer}, lambda each, seen=seen: seen.append(Moments.of(each.values))
            ):
                net(batch)
            layer.running_mean.copy_(seen[0].mean[0])
            layer.running_var.copy_(seen[0].variance()[0])
            layer.num_batches_tracked.fill_(1)
    return net
