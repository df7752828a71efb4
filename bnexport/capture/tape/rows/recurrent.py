"""LSTM and GRU, one ONNX node a layer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import onnx_ir as ir
import torch

from bnexport.capture.tape.site import Row, Site
from bnexport.capture.tape.sizes import Size, Unsure

__all__ = ["ROWS"]

# Where ONNX has torch's gates: input, forget, cell, output; and reset, update, new.
_LSTM = (0, 3, 1, 2)
_GRU = (1, 0, 2)


def _recurrent(operator: str, gates: Sequence[int]) -> Callable[[Site], Sequence[ir.Value]]:
    def emit(site: Site) -> Sequence[ir.Value]:
        return _Layers(site, operator, gates).emit()

    return emit


class _Layers:
    """One call of ``torch.lstm`` or ``torch.gru``: several layers, each in one or two directions."""

    def __init__(self, site: Site, operator: str, gates: Sequence[int]) -> None:
        self._site, self._operator, self._gates = site, operator, gates
        self._directions = 2 if site.plain("bidirectional") else 1
        self._first = bool(site.plain("batch_first"))
        if site.rank() != 3 or (site.plain("train") and site.plain("dropout")):
            raise Unsure(f"{operator} of this form")
        self._batch_axis = 0 if self._first else 1
        site.apart(2, 1 - self._batch_axis)
        states = site["hx"]
        self._states = list(states) if isinstance(states, tuple) else [states]

    def emit(self) -> Sequence[ir.Value]:
        site = self._site
        if any(site.e.tape.constants.get(ref.number) is None for ref in site["params"]):
            raise Unsure(f"{self._operator} with weights that are computed")
        value = site.value()
        sizes = list(site.shape())
        if self._first:
            value, sizes = self._turned(value, sizes)
        ends: list[list[ir.Value]] = []
        for layer in range(site.plain("num_layers")):
            value, sizes, last = self._layer(layer, value, sizes)
            ends.append(last)
        if self._first:
            value, _ = self._turned(value, sizes)
        states = [self._stacked([last[i] for last in ends]) for i in range(len(self._states))]
        return [value, *states]

    def _turned(self, value: ir.Value, sizes: Sequence[Any]) -> tuple[ir.Value, list[Any]]:
        order = [sizes[1], sizes[0], sizes[2]]
        return self._site.op("Transpose", [value], {"perm": [1, 0, 2]}, tuple(order)), order

    def _layer(
        self, layer: int, value: ir.Value, sizes: Sequence[Any]
    ) -> tuple[ir.Value, list[Any], list[ir.Value]]:
        site, d = self._site, self._directions
        weights, recurrences, biases = self._weights(layer)
        hidden = recurrences.shape[2]
        steps, batch = sizes[0], sizes[1]
        initial = [self._initial(ref, layer, batch, hidden) for ref in self._states]
        operands: list[ir.Value | None] = [
            value,
            site.e.initializer(weights, "weight_ih"),
            site.e.initializer(recurrences, "weight_hh"),
            None if biases is None else site.e.initializer(biases, "bias_ih_hh"),
            None,
            *initial,
        ]
        while operands[-1] is None:
            operands.pop()
        attributes: dict[str, Any] = {
            "hidden_size": hidden,
            "direction": "bidirectional" if d == 2 else "forward",
        }
        if self._operator == "GRU":
            attributes["linear_before_reset"] = 1
        outputs = 1 + len(self._states)
        first = site.op(
            self._operator, operands, attributes, (steps, d, batch, hidden), count=outputs
        )
        node = first.producer()
        assert node is not None
        for last in node.outputs[1:]:
            last.shape, last.type = ir.Shape([d, *_names(batch), hidden]), first.type
        return *self._joined(first, (steps, d, batch, hidden)), list(node.outputs[1:])

    def _joined(self, value: ir.Value, sizes: tuple[Any, ...]) -> tuple[ir.Value, list[Any]]:
        """[steps, directions, batch, hidden] as [steps, batch, directions * hidden]."""
        site = self._site
        steps, d, batch, hidden = sizes
        whole = [steps, batch, d * hidden]
        if d == 1:
            return site.op("Squeeze", [value, site.integers([1])], {}, tuple(whole)), whole
        turned = site.op("Transpose", [value], {"perm": [0, 2, 1, 3]}, (steps, batch, d, hidden))
        return site.op("Reshape", [turned, site.integers([0, 0, -1])], {}, tuple(whole)), whole

    def _weights(self, layer: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor | None]:
        site, biased = self._site, bool(site_biases(self._site))
        each = 4 if biased else 2
        refs = site["params"]
        parts: list[list[torch.Tensor]] = [[], [], []]
        for direction in range(self._directions):
            start = (layer * self._directions + direction) * each
            tensors = [site.e.tape.constants[ref.number] for ref in refs[start : start + each]]
            if tensors[1].shape[0] != len(self._gates) * tensors[1].shape[1]:
                raise Unsure(f"{self._operator} with a projection")
            parts[0].append(self._ordered(tensors[0]))
            parts[1].append(self._ordered(tensors[1]))
            if biased:
                parts[2].append(torch.cat([self._ordered(tensors[2]), self._ordered(tensors[3])]))
        weights, recurrences = torch.stack(parts[0]), torch.stack(parts[1])
        return weights, recurrences, torch.stack(parts[2]) if biased else None

    def _ordered(self, tensor: torch.Tensor) -> torch.Tensor:
        gates = tensor.chunk(len(self._gates))
        return torch.cat([gates[index] for index in self._gates])

    def _initial(self, ref: Any, layer: int, batch: Any, hidden: int) -> ir.Value | None:
        """The state to start from; None for zeros."""
        site, d = self._site, self._directions
        constant = site.e.tape.constants.get(ref.number)
        if constant is not None and not constant.any():
            return None
        if _made_of_zeros(site, ref):
            return None
        value = site.e.value(ref)
        if site.plain("num_layers") == 1:
            return value
        cuts = [site.integers([n]) for n in (layer * d, layer * d + d, 0)]
        return site.op("Slice", [value, *cuts], {}, (d, batch, hidden))

    def _stacked(self, states: Sequence[ir.Value]) -> ir.Value:
        if len(states) == 1:
            return states[0]
        return self._site.op(
            "Concat", states, {"axis": 0}, self._site.e.shape(self._site.call.outputs[1])
        )


def site_biases(site: Site) -> bool:
    """Whether the layers have biases."""
    return bool(site.plain("has_biases"))


def _made_of_zeros(site: Site, ref: Any) -> bool:
    return any(
        ref in call.outputs and call.name in ("zeros", "new_zeros") for call in site.e.tape.calls
    )


def _names(batch: Any) -> list[int | str]:
    if not isinstance(batch, Size):
        return [int(batch)]
    return ["N" if batch.scale == 1 else f"{batch.scale}*N"]


_SIGNATURE = "input hx params has_biases num_layers dropout train bidirectional batch_first"

ROWS = {
    "lstm": Row(_SIGNATURE, _recurrent("LSTM", _LSTM)),
    "gru": Row(_SIGNATURE, _recurrent("GRU", _GRU)),
}
