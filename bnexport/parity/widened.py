"""A module in float64 with its weights as they are: each is widened for the call that reads it.

A copy in float64 takes twice the memory of the weights; this takes twice that of the largest.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

__all__ = ["LARGE", "Widened"]

LARGE = 1 << 30  # bytes of weights, from which on a copy is too much

# What is asked of a tensor, and not its numbers: nothing is gained by widening it.
_PLAIN = frozenset({"__get__", "__set__", "size", "dim", "numel", "stride", "is_floating_point"})


class Widened(TorchFunctionMode):
    """Every floating tensor that a torch function is given or gives, as float64.

    Also what it makes of nothing, zeros say: it may be written to later. What a layer holds says that it is of
    float64, as in a copy it would be.
    """

    def __torch_function__(
        self,
        function: Callable[..., Any],
        types: object,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        name = getattr(function, "__name__", "")
        if name in _PLAIN:
            return _said(function(*args, **(kwargs or {})))
        if name.endswith("_") and not name.endswith("__") and _is_narrow(args[0]):
            raise RuntimeError("it writes to a tensor that it holds, which is not copied")
        given = {key: _wide(value) for key, value in (kwargs or {}).items()}
        return _wide(function(*_wide(args), **given))


def _wide(value: Any) -> Any:
    if isinstance(value, torch.Tensor):
        return value.detach().double() if _is_narrow(value) else value
    if type(value) in (list, tuple):
        return type(value)(map(_wide, value))
    return value


def _is_narrow(value: Any) -> bool:
    floating = isinstance(value, torch.Tensor) and value.is_floating_point()
    return floating and value.dtype != torch.float64


def _said(value: Any) -> Any:
    """The answer to a question; a type is that of a copy in float64."""
    return torch.float64 if isinstance(value, torch.dtype) and value.is_floating_point else value
