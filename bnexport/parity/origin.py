"""Where a NaN or an infinity starts: the first layer, or the first value of a graph, that has one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol, runtime_checkable

import numpy as np
import onnx
import torch

from bnexport.parity.arrays import Array, Arrays, widened

__all__ = ["Traceable", "finite", "first_value", "watched", "with_every_value"]


@runtime_checkable
class Traceable(Protocol):
    """A runner that can say where non-finite numbers start."""

    def origin(self, inputs: Arrays) -> str:
        """The layer or value that first has one; empty where none is seen on the way."""
        ...


def finite(array: Array) -> bool:
    """Whether every element is a number."""
    return bool(np.isfinite(widened(array)).all())


@contextmanager
def watched(module: torch.nn.Module) -> Iterator[list[str]]:
    """Note, in the order of their ends, the layers whose outputs are not finite; hooks go at the end."""
    seen: list[str] = []
    handles = []
    for name, layer in module.named_modules():
        # Plain wraps what the user calls the model: its own name is no part of the layer's.
        handles.append(layer.register_forward_hook(_note(name.removeprefix("model."), seen)))
    try:
        yield seen
    finally:
        for handle in handles:
            handle.remove()


def with_every_value(model: onnx.ModelProto) -> list[str]:
    """Make every value of the graph one of its outputs; return their names in the order of the nodes."""
    names = [name for node in model.graph.node for name in node.output if name]
    del model.graph.output[:]
    model.graph.output.extend(onnx.helper.make_empty_tensor_value_info(name) for name in names)
    return names


def first_value(names: Sequence[str], values: Sequence[Any]) -> str:
    """The first of the values that is an array and not finite."""
    for name, value in zip(names, values, strict=True):
        if isinstance(value, np.ndarray) and value.dtype.kind in "fc" and not finite(value):
            return name
    return ""


def _note(name: str, seen: list[str]) -> Any:
    def hook(layer: torch.nn.Module, inputs: object, output: object) -> None:
        if name and any(not bool(tensor.isfinite().all()) for tensor in _tensors(output)):
            seen.append(name)

    return hook


def _tensors(value: object) -> Iterator[torch.Tensor]:
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from _tensors(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _tensors(item)
