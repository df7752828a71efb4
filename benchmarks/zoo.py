"""Networks from timm and torchvision, with seeded random weights and running statistics that are not trivial.

Needs ``pip install --no-deps torchvision==0.28.0 timm==1.0.31`` beside torch 2.13.0.
"""

from __future__ import annotations

import sys

import torch
import unet
from torch import nn

TORCHVISION = ("googlenet", "shufflenet_v2_x1_0", "r2plus1d_18")

_declared: list[torch.library.Library] = []


def import_torchvision() -> None:
    """Import torchvision beside a CPU build of torch, for which its wheel lacks two operators."""
    try:
        import torchvision
    except RuntimeError:
        for name in [name for name in sys.modules if name.startswith("torchvision")]:
            del sys.modules[name]
        library = torch.library.Library("torchvision", "DEF")
        for operator in ("nms", "qnms"):
            library.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        _declared.append(library)
        import torchvision  # noqa: F401


def timm_model(name: str, seed: int = 0) -> nn.Module:
    """A timm network without pretrained weights."""
    import_torchvision()
    import timm

    torch.manual_seed(seed)
    return trained_like(timm.create_model(name, pretrained=False), seed)


def torchvision_model(name: str, seed: int = 0) -> nn.Module:
    """A torchvision network without pretrained weights."""
    import_torchvision()
    import torchvision

    torch.manual_seed(seed)
    options = {"init_weights": True} if name in ("googlenet", "inception_v3") else {}
    return trained_like(torchvision.models.get_model(name, weights=None, **options), seed)


def network(name: str, seed: int = 0) -> tuple[nn.Module, tuple[int, ...]]:
    """The network of that name, and the shape of one sample."""
    if name == "unet":
        torch.manual_seed(seed)
        return trained_like(unet.UNet(), seed), unet.SHAPE
    if name in TORCHVISION:
        return torchvision_model(name, seed), (3, 224, 224)
    module = timm_model(name, seed)
    shape: tuple[int, ...] = module.default_cfg["input_size"]  # type: ignore[index,assignment]
    return module, shape


def trained_like(module: nn.Module, seed: int) -> nn.Module:
    """Give every BatchNorm statistics and an affine of its own, so that a wrong fold cannot hide.

    And numbers to what starts as zeros, an attention's bias say: no training leaves it so, but an optimiser
    would drop it.
    """
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            if not parameter.any():
                parameter.copy_(0.02 * torch.randn(parameter.shape, generator=generator))
    for layer in module.modules():
        if not isinstance(layer, nn.modules.batchnorm._BatchNorm) or layer.running_mean is None:
            continue
        with torch.no_grad():
            layer.running_mean.copy_(
                0.1 * torch.randn(layer.running_mean.shape, generator=generator)
            )
            layer.running_var.copy_(0.5 + torch.rand(layer.running_var.shape, generator=generator))
            if layer.affine:
                layer.weight.copy_(0.7 + 0.6 * torch.rand(layer.weight.shape, generator=generator))
                layer.bias.copy_(0.1 * torch.randn(layer.bias.shape, generator=generator))
    return module.eval()
