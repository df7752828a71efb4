"""What a parsed network says of itself, and the batch profile that it needs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

from bnexport.errors import ExportError
from bnexport.targets.tensorrt.info import Shape, TensorInfo

__all__ = ["Profiles", "batch_profiles", "census", "precision", "tensors"]

Profiles = dict[str, tuple[Shape, Shape, Shape]]

_DTYPES = {
    "FLOAT": "float32",
    "HALF": "float16",
    "BF16": "bfloat16",
    "FP8": "float8",
    "INT4": "int4",
}
_NARROWEST_FIRST = ("BF16", "HALF")


def census(network: Any) -> dict[str, int]:
    """How many layers of each type, most first."""
    return dict(Counter(layer.type.name for layer in _layers(network)).most_common())


def batch_profiles(network: Any, batch: tuple[int, int, int]) -> Profiles:
    """The smallest, usual and largest shape of every input whose batch is free.

    Raises:
        ExportError: Another dimension is free too.
    """
    profiles: Profiles = {}
    for tensor in (network.get_input(index) for index in range(network.num_inputs)):
        size, *rest = tuple(tensor.shape) or (0,)
        if any(number < 0 for number in rest):
            shape = ", ".join("?" if number < 0 else str(number) for number in (size, *rest))
            what, why = f"input {tensor.name!r}", f"its shape ({shape}) is free beside the batch"
            remedy = f"Fix it: --input {tensor.name}:Nx..., with numbers after the N"
            raise ExportError(what, why, remedy)
        if size < 0:
            low, usual, high = batch
            profiles[tensor.name] = ((low, *rest), (usual, *rest), (high, *rest))
    return profiles


def precision(network: Any, tf32: bool) -> str:
    """The narrowest floating type that a layer computes, with TF32 where float32 allows it."""
    found = {
        layer.get_output(index).dtype.name
        for layer in _layers(network)
        for index in range(layer.num_outputs)
        if layer.get_output(index) is not None
    }
    narrow = next((name for name in _NARROWEST_FIRST if name in found), None)
    if narrow is not None:
        return _DTYPES[narrow]
    return "tf32" if tf32 else "float32"


def tensors(get: Callable[[int], Any], count: int) -> tuple[TensorInfo, ...]:
    """The inputs, or the outputs, in order."""
    every = (get(index) for index in range(count))
    return tuple(
        TensorInfo(tensor.name, _dtype(tensor.dtype.name), tuple(tensor.shape)) for tensor in every
    )


def _dtype(name: str) -> str:
    return _DTYPES.get(name, name.lower())


def _layers(network: Any) -> Iterator[Any]:
    return (network.get_layer(index) for index in range(network.num_layers))
