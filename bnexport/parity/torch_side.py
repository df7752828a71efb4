"""A module of which the output of any layer can be asked, and the graph's values that hold those outputs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import torch

from bnexport.parity.arrays import Array, Arrays, from_torch
from bnexport.parity.graph_side import GraphSide
from bnexport.parity.runner import RunFailed
from bnexport.parity.torch_runner import TorchRunner

__all__ = ["TorchSide", "boundaries"]

Shape = tuple[int, ...]


class TorchSide:
    """A module of which the output of any layer can be asked; one output is held at a time.

    Args:
        wide: In wide arithmetic.
        own: In the module's own.
        layers: By the name of a graph's value, the layer that gives it.
    """

    def __init__(self, wide: TorchRunner, own: TorchRunner, layers: Mapping[str, str]) -> None:
        self._wide, self._own, self._layers = wide, own, layers

    def truth(self, name: str, inputs: Arrays) -> tuple[Array, Sequence[Array]]:
        """The layer's output in wide arithmetic, and in the module's own."""
        layer = self._layers[name]
        return _output(self._wide, layer, inputs), [_output(self._own, layer, inputs)]


def _output(runner: TorchRunner, layer: str, inputs: Arrays) -> Array:
    kept: list[Array] = []

    def note(name: str, output: object) -> None:
        if name == layer and isinstance(output, torch.Tensor):
            kept.append(from_torch([output])[0])

    runner.observed(inputs, note)
    if len(kept) != 1:
        raise RunFailed(f"layer {layer!r}", f"it ran {len(kept)} times")
    return kept[0]


def _shapes(runner: TorchRunner, inputs: Arrays) -> dict[str, Shape]:
    """Of the layers that ran once and gave one tensor of floating numbers."""
    seen: dict[str, list[Shape | None]] = {}

    def note(name: str, output: object) -> None:
        tensor = isinstance(output, torch.Tensor) and output.is_floating_point()
        seen.setdefault(name, []).append(tuple(output.shape) if tensor else None)  # type: ignore[attr-defined]

    runner.observed(inputs, note)
    return {name: each[0] for name, each in seen.items() if len(each) == 1 and each[0] is not None}


def boundaries(graph: GraphSide, runner: TorchRunner, inputs: Arrays) -> dict[str, str]:
    """The values of a graph as captured that are a layer's output, in order, with the name of the innermost layer.

    A layer that ran twice, or gives several values, gives none that can be told.
    """
    shapes = _shapes(runner, inputs)
    return {
        name: layer
        for name, layer in _leaving(graph).items()
        if layer in shapes and graph.fits(name, shapes[layer])
    }


def _leaving(graph: GraphSide) -> dict[str, str]:
    """The values that are the only one to leave a layer."""
    readers = graph.readers()
    leaving: dict[str, list[str]] = {}
    for name in graph.makers:
        own = graph.layer(name)
        outside = [graph.layer(each) for each in readers[name]]
        for scope in _scopes(own):
            if name in graph.outputs or any(not _within(each, scope) for each in outside):
                leaving.setdefault(scope, []).append(name)
    found: dict[str, str] = {}
    for scope, names in leaving.items():
        if len(names) == 1 and len(scope) > len(found.get(names[0], "")):
            found[names[0]] = scope
    return {name: found[name] for name in graph.makers if name in found}


def _scopes(layer: str) -> Iterator[str]:
    """``a.b.c``, ``a.b``, ``a``."""
    while layer:
        yield layer
        layer = layer.rpartition(".")[0]


def _within(layer: str, scope: str) -> bool:
    return layer == scope or layer.startswith(f"{scope}.")
