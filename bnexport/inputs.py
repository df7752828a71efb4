"""Example inputs: what the user says of them, what can be inferred, and batches drawn from them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import torch

__all__ = ["Examples", "InputSpec"]


@dataclass(frozen=True)
class InputSpec:
    """One input of the model.

    Attributes:
        name: The parameter of ``forward`` that it feeds.
        shape: With None for the batch axis (always axis 0); an input without None has no batch axis.
        dtype: A torch dtype's name: ``float32``, ``int64``.
    """

    name: str
    shape: tuple[int | None, ...]
    dtype: str = "float32"


@dataclass(frozen=True)
class Examples:
    """Where batches come from: the inputs' shapes, and real samples where there are some.

    Attributes:
        specs: One an input, in the order of ``forward``.
        data: Real samples, batch first, one array an input; None: drawn at random.
        assumed: The sentence that says what was inferred and how to change it; empty when nothing was.
    """

    specs: tuple[InputSpec, ...]
    data: tuple[np.ndarray, ...] | None = None
    assumed: str = ""

    def batch(self, n: int, seed: int = 0) -> tuple[torch.Tensor, ...]:
        """``n`` samples an input; the same for the same ``n`` and ``seed``, different for another seed.

        The first samples of a larger batch are those of a smaller one with the same seed.
        """
        raise NotImplementedError
