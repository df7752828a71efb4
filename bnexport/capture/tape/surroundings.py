"""What is about a run: the tensors that the module holds, compiled functions."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from bnexport.capture.tape.sizes import Unsure

__all__ = ["scripts_refused", "tensors_of"]


def tensors_of(layer: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Every tensor that a layer holds: as a parameter, a buffer or an attribute, in containers too."""
    stack: list[tuple[str, Any]] = [
        *layer._parameters.items(),
        *layer._buffers.items(),
        *vars(layer).items(),
    ]
    for key, value in stack:
        if isinstance(value, Tensor):
            yield key, value
        elif value and isinstance(value, list | tuple | dict):  # most are numbers, or empty tables
            yield from _tensors_in(key, value, 3)


def _tensors_in(key: str, value: Any, depth: int) -> Iterator[tuple[str, Tensor]]:
    if isinstance(value, Tensor):
        yield key, value
    elif depth and isinstance(value, list | tuple):
        for index, item in enumerate(value):
            yield from _tensors_in(f"{key}.{index}", item, depth - 1)
    elif depth and type(value) is dict:
        for name, item in value.items():
            yield from _tensors_in(f"{key}.{name}", item, depth - 1)


@contextmanager
def scripts_refused() -> Iterator[None]:
    """Compiled functions are not looked into: what one reads out of a tensor would not be seen."""
    kinds: list[Any] = [torch.jit.ScriptFunction, torch._C.ScriptMethod]
    called = [kind.__call__ for kind in kinds]

    def call(function: Any, *args: Any, **kwargs: Any) -> Any:
        raise Unsure("it calls a function that was compiled by TorchScript")

    for kind in kinds:
        kind.__call__ = call
    try:
        yield
    finally:
        for kind, before in zip(kinds, called, strict=True):
            kind.__call__ = before
