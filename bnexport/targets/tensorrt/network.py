"""What a parsed network says of itself."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

from bnexport.targets.tensorrt.info import TensorInfo
from bnexport.targets.tensorrt.source import OnnxSource

__all__ = ["census", "precision", "scaling", "tensors"]

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


def scaling(network: Any, source: OnnxSource) -> tuple[str, ...]:
    """The modules whose BatchNorm is a layer of its own still."""
    return tuple(
        source.owner(layer.name) for layer in _layers(network) if layer.type.name == "SCALE"
    )


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
