"""What the layers that can come first in a network say about its input."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

__all__ = ["Candidate", "candidates", "entry_layers"]

_TOKENS = 16
_IMAGE = (224, 256, 299, 384, 512, 128, 64, 32, 28)
_LATENT = (1, 4, 7, 8, 16, 32, 64)
_SIGNAL = (16000, 4096, 1024, 256, 128, 64, 32)
_FRAMES = ((8, 112, 112), (16, 112, 112), (8, 64, 64), (16, 64, 64), (32, 32, 32))
# Above this, the channels of a 1-D network are features of a frame, and frames are few.
_FEATURES = 16

_CONV = {"Conv1d": 1, "Conv2d": 2, "Conv3d": 3}
_TRANSPOSED = {"ConvTranspose1d": 1, "ConvTranspose2d": 2, "ConvTranspose3d": 3}
_NORM = {"BatchNorm1d": 1, "BatchNorm2d": 2, "BatchNorm3d": 3}
_TABLES = ("Embedding", "EmbeddingBag")
_RECURRENT = ("RNN", "LSTM", "GRU")
_KNOWN = (*_CONV, *_TRANSPOSED, *_NORM, *_TABLES, *_RECURRENT, "Linear", "MultiheadAttention")


@dataclass(frozen=True)
class Candidate:
    """One sample of an input.

    Attributes:
        sizes: Its shape, without the batch.
        dtype: A torch dtype's name; empty: the one that the model computes in.
        high: For integers, the bound of an index.
    """

    sizes: tuple[int, ...]
    dtype: str = ""
    high: int | None = None


def entry_layers(module: nn.Module) -> list[nn.Module]:
    """The layers whose input's shape is known, in the order in which they were registered."""
    return [each for each in module.modules() if _kind(each) and any(candidates(each))]


def candidates(layer: nn.Module) -> Iterator[Candidate]:
    """The shapes that ``layer`` can take as the first of a network, likeliest first."""
    kind, channels = _kind(layer), _channels(layer)
    if kind in _TABLES:
        yield Candidate((_TOKENS,), "int64", channels)
    elif kind in _RECURRENT or kind == "MultiheadAttention":
        yield Candidate((_TOKENS, channels))
    elif kind == "Linear":
        yield from (Candidate((channels,)), Candidate((_TOKENS, channels)))
    elif channels:
        yield from _convolved(kind, channels)


def _convolved(kind: str, channels: int) -> Iterator[Candidate]:
    rank = (_CONV | _TRANSPOSED | _NORM)[kind]
    if kind == "BatchNorm1d":
        yield Candidate((channels,))
    sizes = (
        [(size,) * rank for size in _LATENT] if kind in _TRANSPOSED else _extents(rank, channels)
    )
    for size in sizes:
        yield Candidate((channels, *size))
    if channels == 1:
        # The forward may add the channel axis itself.
        yield from (Candidate(tuple(size)) for size in sizes)


def _extents(rank: int, channels: int) -> list[tuple[int, ...]]:
    if rank == 1:
        return [(size,) for size in _SIGNAL if channels < _FEATURES or size <= 1024]
    if rank == 2:
        return [(size, size) for size in _IMAGE]
    return list(_FRAMES)


def _kind(layer: nn.Module) -> str:
    """The class it is or derives from; a scripted layer only remembers the name of its own."""
    if isinstance(layer, torch.jit.ScriptModule):
        name = str(layer.original_name)
        return name if name in _KNOWN else ""
    return next((each.__name__ for each in type(layer).__mro__ if each.__name__ in _KNOWN), "")


def _channels(layer: nn.Module) -> int:
    for name in ("in_channels", "in_features", "num_embeddings", "num_features", "input_size"):
        found = getattr(layer, name, None)
        if isinstance(found, int):
            return found
    found = getattr(layer, "embed_dim", None)
    weight = getattr(layer, "weight", None)
    if isinstance(found, int):
        return found
    if not isinstance(weight, Tensor):
        return 0
    first = weight.dim() == 1 or _kind(layer) in (*_TRANSPOSED, *_TABLES)
    return int(weight.shape[0] if first else weight.shape[1])
