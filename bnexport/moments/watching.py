"""See what reaches each BatchNorm of a module while it runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from torch import Tensor, nn

__all__ = ["Seen", "channels_first", "watching"]


@dataclass(frozen=True)
class Seen:
    """One call of one layer.

    Attributes:
        name: The layer's.
        layer: The layer.
        values: What it was given, as views of shape (N, C, ...); C is the layer's number of channels.
    """

    name: str
    layer: nn.Module
    values: Tensor


def always() -> bool:
    """Every call."""
    return True


@contextmanager
def watching(
    layers: Mapping[str, nn.Module],
    see: Callable[[Seen], None],
    when: Callable[[], bool] = always,
) -> Iterator[None]:
    """Call ``see`` before each call of each layer; the hooks are gone on leaving, after an error too.

    Where ``when`` says no, a call costs that question alone.

    A layer without parameters and statistics says nothing of its channels: axis 1 is taken.
    """
    handles = [
        layer.register_forward_pre_hook(_hook(name, see, when), prepend=True)
        for name, layer in layers.items()
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _hook(
    name: str, see: Callable[[Seen], None], when: Callable[[], bool]
) -> Callable[[nn.Module, tuple[object, ...]], None]:
    def hook(layer: nn.Module, given: tuple[object, ...]) -> None:
        if when() and given and isinstance(given[0], Tensor) and given[0].dim() > 1:
            see(Seen(name, layer, channels_first(given[0], _channels(layer))))

    return hook


def channels_first(values: Tensor, channels: int) -> Tensor:
    """A view whose axis 1 is the channels: the last axis is moved there where only that has their number."""
    if values.shape[1] != channels and values.shape[-1] == channels:
        return values.movedim(-1, 1)
    return values


def _channels(layer: nn.Module) -> int:
    for name in ("running_mean", "running_var", "weight"):
        found = getattr(layer, name, None)
        if isinstance(found, Tensor):
            return found.numel()
    return int(getattr(layer, "num_features", 0))
