"""Samples for a batch: drawn at random, or real ones repeated with a little noise.

Every sample has a random stream of its own, so that it does not depend on the size of its batch.
"""

from __future__ import annotations

import math

import numpy as np
import torch

from bnexport.inputs import InputSpec

__all__ = ["draw", "resample"]

# Enough to tell two samples apart in the output, little enough to stay the same kind of data.
_NOISE = 0.05


def draw(spec: InputSpec, n: int, seed: int, place: int) -> torch.Tensor:
    """``n`` random samples for the input at ``place``."""
    dtype: torch.dtype = getattr(torch, spec.dtype or "float32")
    generator = torch.Generator().manual_seed(_stream(seed, place))
    sizes = [size for size in spec.shape if size is not None]
    if len(sizes) == len(spec.shape):
        return _sample(spec, sizes, dtype, generator)
    return torch.stack([_sample(spec, sizes, dtype, generator) for _ in range(n)])


def _sample(
    spec: InputSpec, sizes: list[int], dtype: torch.dtype, generator: torch.Generator
) -> torch.Tensor:
    if dtype == torch.bool:
        return torch.rand(sizes, generator=generator) < 0.5
    if dtype.is_complex:
        return torch.randn(sizes, generator=generator, dtype=dtype)
    if dtype.is_floating_point:
        return torch.randn(sizes, generator=generator, dtype=torch.float32).to(dtype)
    high = min(spec.high or _high(dtype), torch.iinfo(dtype).max + 1)
    return torch.randint(0, high, sizes, generator=generator).to(dtype)


def _high(dtype: torch.dtype) -> int:
    # A byte is most often a pixel; any other integer an index, and 0 and 1 nearly always legal.
    return 256 if dtype == torch.uint8 else 2


def resample(spec: InputSpec, data: np.ndarray, n: int, seed: int) -> torch.Tensor:
    """``n`` of the real samples, in order from a place that ``seed`` sets."""
    dtype: torch.dtype = getattr(torch, spec.dtype or "float32")
    if None not in spec.shape:
        return torch.tensor(data).to(dtype)
    count = len(data)
    rows = [_varied(data[(seed + i) % count], seed, i // count, i) for i in range(n)]
    return torch.tensor(np.stack(rows)).to(dtype)


def _varied(sample: np.ndarray, seed: int, round_: int, place: int) -> np.ndarray:
    """The sample itself in the first round of seed 0, and something like it in every other."""
    if seed == 0 and round_ == 0:
        return sample
    rng = np.random.default_rng(_stream(seed, place))
    if np.issubdtype(sample.dtype, np.inexact):
        noise = 1 + _NOISE * rng.standard_normal(sample.shape)
        return np.asarray(sample * noise).astype(sample.dtype)
    # Integers and flags keep to values that the data itself shows to be legal.
    shift = 1 + int(rng.integers(max(math.prod(sample.shape) - 1, 1)))
    return np.roll(sample, shift)


def _stream(seed: int, place: int) -> int:
    state = np.random.SeedSequence([seed, place]).generate_state(1, np.uint64)
    return int(state[0] >> np.uint64(1))
