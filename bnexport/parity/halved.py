"""Half precision on a processor, as a GPU computes it: every operator in float32, and what it gives rounded.

PyTorch's own half-precision convolutions on a processor take some twenty times as long as float32's, and add up in half
in places. Hardware multiplies halves, adds in float32 and rounds at the end of each operator.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

__all__ = ["Halved", "round_to"]


class Halved(TorchDispatchMode):
    """While it is entered, every float32 tensor that an operator writes is rounded.

    Args:
        dtype: ``torch.float16`` or ``torch.bfloat16``.
    """

    def __init__(self, dtype: torch.dtype) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._dtype = dtype

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Any = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        if not _is_view(func):
            for tensor in tree_leaves(result):
                # In place, so that what aliases it, as after x.view(...).add_(...), is rounded, too.
                round_to(tensor, self._dtype)
        return result


def round_to(value: Any, dtype: torch.dtype) -> None:
    """Round a float32 tensor in place; leave anything else."""
    if isinstance(value, torch.Tensor) and value.dtype == torch.float32 and value.numel():
        value.copy_(value.to(dtype))


def _is_view(func: Any) -> bool:
    """Whether it gives its argument's own numbers in another shape."""
    found = [each.alias_info for each in func._schema.returns]
    return any(alias is not None and not alias.is_write for alias in found)
