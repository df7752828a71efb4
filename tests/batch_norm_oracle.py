"""BatchNorm in NumPy's float64, by its definition: the biased variance normalises, the unbiased one is stored.

S. Ioffe, C. Szegedy: Batch Normalization, ICML 2015, algorithms 1 and 2; PyTorch's momentum is the weight of the batch.
"""

from dataclasses import dataclass, field

import numpy as np


@dataclass
class BatchNormOracle:
    """One layer of C channels; statistics None: it has none."""

    channels: int
    eps: float = 1e-5
    momentum: float | None = 0.1
    tracks: bool = True
    weight: np.ndarray | None = None
    bias: np.ndarray | None = None
    mean: np.ndarray = field(init=False)
    var: np.ndarray = field(init=False)
    tracked: int = 0

    def __post_init__(self):
        self.mean, self.var = np.zeros(self.channels), np.ones(self.channels)

    def __call__(self, x, *, training):
        x = np.asarray(x, np.float64)
        if not training and self.tracks:
            return self._affine(x, self.mean, self.var)
        flat = x.swapaxes(0, 1).reshape(self.channels, -1)
        mean = flat.sum(1) / flat.shape[1]
        biased = ((flat - mean[:, None]) ** 2).sum(1) / flat.shape[1]
        if training and self.tracks:
            self.tracked += 1
            share = 1 / self.tracked if self.momentum is None else self.momentum
            unbiased = biased * flat.shape[1] / (flat.shape[1] - 1)
            self.mean = (1 - share) * self.mean + share * mean
            self.var = (1 - share) * self.var + share * unbiased
        return self._affine(x, mean, biased)

    def _affine(self, x, mean, var):
        shape = (1, -1) + (1,) * (x.ndim - 2)
        y = (x - mean.reshape(shape)) / np.sqrt(var.reshape(shape) + self.eps)
        if self.weight is not None:
            y = y * self.weight.reshape(shape) + self.bias.reshape(shape)
        return y
