"""What a layer with a forward of its own computes, asked by running it once beside its formula."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from bnexport.passes.modules.evaluation import eval_mode, undisturbed

__all__ = ["agree", "answer"]

_RANKS = (4, 3, 2, 5)


def answer(layer: nn.Module) -> tuple[Tensor, Tensor] | None:
    """A seeded input and what ``layer`` makes of it in eval mode; None where it does not run here.

    A layer that needs its package's kernels, a GPU or a process group does not run; then only the
    published formula of its class is left to go by.
    """
    if not isinstance(layer.running_mean, Tensor):
        return None
    for rank in _RANKS:
        x = _input(layer.running_mean, rank)
        try:
            with undisturbed(), eval_mode(layer):
                # An in-place layer writes to what it is given.
                result = layer.forward(x.clone())
        except Exception:  # whatever a foreign forward raises here, the answer is "not this rank"
            continue
        if isinstance(result, Tensor) and result.shape == x.shape:
            return x, result
    return None


def agree(twin: nn.Module, asked: tuple[Tensor, Tensor]) -> bool:
    """Whether ``twin`` gives the recorded answer, up to the rounding of a reordered formula."""
    x, expected = asked
    twin = copy.deepcopy(twin)
    with undisturbed(), eval_mode(twin):
        result = twin.forward(x.clone())
    if torch.equal(result, expected):
        return True
    tolerance = 16 * torch.finfo(x.dtype).eps
    scale = expected.abs().amax().clamp_min(1)
    return bool(((result - expected).abs() <= tolerance * scale).all())


def _input(like: Tensor, rank: int) -> Tensor:
    generator = torch.Generator().manual_seed(rank)
    shape = (4, like.numel(), *[3] * (rank - 2))
    return (3 * torch.randn(shape, generator=generator)).to(like)
