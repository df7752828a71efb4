"""Outputs of an exported file that tell what its BatchNorms see, after folding too.

A BatchNorm that is folded into the convolution before it leaves no input to look at, but its output y is still there.
So each sample's mean of y, mean of y^2 and number of pixels go out beside the model's own outputs, one tensor of shape
(N, 2 C + 1) a layer; being affine, y tells the input x:

    s = gamma / sqrt(var + eps)      x = (y - beta) / s + mean

A channel with a gamma of zero tells nothing, and counts as expected.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from bnexport.drift.state import Running
from bnexport.errors import Refused, UsageError
from bnexport.health.facts import is_batch_norm
from bnexport.signature import Plain

__all__ = ["KEY", "Tap", "Tapped", "read_taps"]

# In the ONNX file's metadata.
KEY = "bnexport.drift"
_PREFIX = "drift"
# What a BatchNorm calls on its own output: timm's BatchNormAct2d.
_BEHIND = ("drop", "act")


class Tapped(Plain):
    """A model whose outputs are followed by the taps of its BatchNorms, in the order of the calls.

    Attributes:
        taps: The layers and the outputs that tell of them; known after the first call.
    """

    def __init__(self, model: nn.Module, inputs: Sequence[str]) -> None:
        super().__init__(model, inputs)
        self.taps: tuple[Tap, ...] = ()
        self._seen = _Seen()
        self._layers = {name: layer for name, layer in model.named_modules() if _tells(layer)}
        if not self._layers:
            why = "it has no BatchNorm with running statistics"
            raise UsageError("--drift-taps", why, "Leave it out")
        for name, layer in self._layers.items():
            watched = next((getattr(layer, key) for key in _BEHIND if hasattr(layer, key)), None)
            if isinstance(watched, nn.Module):
                watched.register_forward_pre_hook(_Before(name, self._seen))
            else:
                layer.register_forward_hook(_Behind(name, self._seen))

    def forward(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        """The model's outputs, and then the taps."""
        self._seen.calls.clear()
        try:
            return super().forward(*tensors)
        finally:
            self._seen.calls.clear()  # they hold the memory of every activation

    def flattened(self, result: object, tensors: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """The model's outputs in ``result``, and then the taps of the call that it came from."""
        known, self.outputs = self.outputs, self.outputs[: len(self.outputs) - len(self.taps)]
        own = super().flattened(result, tensors)
        if not known:
            self._name()
        else:
            self.outputs = known
        return (*own, *(_told(values) for _, values in self._seen.calls))

    def metadata(self) -> str:
        """What `read_taps` needs, as text for the file."""
        return json.dumps([tap.to_json() for tap in self.taps])

    def _name(self) -> None:
        taps = []
        calls = [name for name, _ in self._seen.calls]
        for place, name in enumerate(calls):
            again = calls[:place].count(name)
            output = f"{_PREFIX}.{name or 'model'}" + (f".{again}" if again else "")
            taps.append(Tap.of(name, output, self._layers[name]))
        self.taps = tuple(taps)
        self.outputs = (*self.outputs, *(tap.output for tap in taps))


@dataclass(frozen=True)
class Tap:
    """One layer, and the output that tells of it.

    Attributes:
        name: The layer's.
        output: The output's.
        running: What the layer expects.
        scale: By which it multiplies, float64 of shape (C,).
        bias: What it adds, float64 of shape (C,).
    """

    name: str
    output: str
    running: Running
    scale: Tensor
    bias: Tensor

    @classmethod
    def of(cls, name: str, output: str, layer: nn.Module) -> Tap:
        """The tap of one BatchNorm, by the values that it has now."""
        from bnexport.drift.monitor import running_of

        running = running_of(layer)
        weight, bias = (_values(layer, key) for key in ("weight", "bias"))
        root = (running.var + running.eps).sqrt()
        scale = (torch.ones_like(root) if weight is None else weight) / root
        return cls(name, output, running, scale, torch.zeros_like(root) if bias is None else bias)

    def samples(self, told: np.ndarray) -> tuple[Tensor, Tensor, Tensor]:
        """Count, mean and sum of squared deviations of the layer's input, sample by sample.

        Args:
            told: The output, of shape (N, 2 C + 1).

        Raises:
            UsageError: It has another shape.
        """
        channels = len(self.scale)
        if told.ndim != 2 or told.shape[1] != 2 * channels + 1:
            why = f"its shape is {told.shape}, not (N, {2 * channels + 1})"
            raise UsageError(f"output {self.output!r}", why, "Give the outputs by their names")
        values = torch.tensor(told.astype(np.float64))
        mean, square = values[:, :channels], values[:, channels:-1]
        count = values[:, -1:]
        telling = self.scale.abs() > 1e-6 * self.scale.abs().max()
        scale = self.scale.where(telling, torch.ones_like(self.scale))
        inputs = ((mean - self.bias) / scale + self.running.mean).where(telling, self.running.mean)
        # Rounding may leave a variance of nothing a little below it.
        within = ((square - mean**2).clamp_min(0) / scale**2).where(telling, self.running.var)
        return count, inputs, within * count

    def to_json(self) -> dict[str, Any]:
        """As `read_taps` reads it."""
        stacked = torch.stack([self.running.mean, self.running.var, self.scale, self.bias])
        data = base64.b64encode(stacked.numpy().astype("<f8").tobytes()).decode()
        eps = self.running.eps
        return {"name": self.name, "output": self.output, "eps": eps, "values": data}


def read_taps(metadata: Mapping[str, str]) -> tuple[Tap, ...]:
    """The taps of a file, from its metadata.

    Raises:
        Refused: It has none, or they cannot be read.
    """
    if KEY not in metadata:
        raise Refused("taps of drift", "the file has none", "Convert with --drift-taps")
    try:
        return tuple(map(_read, json.loads(metadata[KEY])))
    except (ValueError, KeyError, TypeError) as error:
        raise Refused("taps of drift", f"they cannot be read ({error})", "Convert again") from error


def _read(told: Mapping[str, Any]) -> Tap:
    values = np.frombuffer(base64.b64decode(told["values"], validate=True), "<f8")
    mean, var, scale, bias = torch.tensor(values.reshape(4, -1).copy())
    return Tap(
        str(told["name"]), str(told["output"]), Running(mean, var, float(told["eps"])), scale, bias
    )


class _Seen:
    """What the layers gave, by name. No bare list: torch.export puts another one in an attribute's place."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, Tensor]] = []


class _Behind:
    """Keeps what a layer gives. A class, so that a copy of the model keeps what its own layers give."""

    def __init__(self, name: str, seen: _Seen) -> None:
        self._name, self._seen = name, seen

    def __call__(self, layer: nn.Module, given: object, made: object) -> None:
        if isinstance(made, Tensor):
            self._seen.calls.append((self._name, made))


class _Before(_Behind):
    """Keeps what a layer is given."""

    def __call__(self, layer: nn.Module, given: Any, made: object = None) -> None:
        super().__call__(layer, (), given[0] if given else None)


def _tells(layer: nn.Module) -> bool:
    """Whether the layer's output is plainly that of a BatchNorm."""
    if not is_batch_norm(layer) or isinstance(layer, torch.jit.ScriptModule):
        return False
    known = all(isinstance(getattr(layer, key), Tensor) for key in ("running_mean", "running_var"))
    activated = type(layer).__name__ == "ActivatedBatchNorm"
    plain = not any(True for _ in layer.children()) or any(hasattr(layer, key) for key in _BEHIND)
    return known and plain and not activated


def _told(values: Tensor) -> Tensor:
    flat = values.flatten(2) if values.dim() > 2 else values.unsqueeze(-1)
    # Ones of the values' own batch: a constant would fix it.
    pixels = torch.ones_like(flat[:, 0]).sum(1, keepdim=True)
    return torch.cat([flat.mean(2), flat.square().mean(2), pixels], dim=1)


def _values(layer: nn.Module, name: str) -> Tensor | None:
    found = getattr(layer, name, None)
    return found.detach().double().cpu().flatten() if isinstance(found, Tensor) else None
