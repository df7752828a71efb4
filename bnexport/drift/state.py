"""What was observed so far: a small file, and states that add up.

Samples go into G groups in turn, so that the spread between the groups says how much of a difference is the noise of
sampling, whatever the correlation between pixels. A state's size depends on the channels and on G, not on the data.
"""

from __future__ import annotations

import io
import json
import zipfile
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bnexport.errors import OutputError, Refused, UsageError
from bnexport.moments import Moments
from bnexport.publish import Staging

__all__ = ["GROUPS", "DriftState", "LayerState", "Running", "check_state_path", "merge"]

GROUPS = 16
_SCHEMA = "bnexport.drift-state/1"
_ARRAYS = ("running_mean", "running_var", "count", "mean", "squares")
_MOST_BYTES = 2**31
_REMEDY = "Give a file that DriftMonitor.save or bnexport drift --state wrote"


@dataclass(frozen=True)
class Running:
    """What a layer expects.

    Attributes:
        mean: Float64 of shape (C,).
        var: Float64 of shape (C,).
        eps: Added to both variances, as the layer does.
    """

    mean: Tensor
    var: Tensor
    eps: float

    def equals(self, other: Running) -> bool:
        """Bit for bit."""
        return (
            torch.equal(self.mean, other.mean)
            and torch.equal(self.var, other.var)
            and self.eps == other.eps
        )


@dataclass(frozen=True)
class LayerState:
    """One BatchNorm.

    Attributes:
        running: What it expects.
        seen: The moments of its inputs in G groups.
        calls: How often it was observed.
        dropped: Samples left out because they held NaN or Inf.
    """

    running: Running
    seen: Moments
    calls: int = 0
    dropped: int = 0

    def __add__(self, other: LayerState) -> LayerState:
        """Both, group by group."""
        return LayerState(
            self.running,
            self.seen + other.seen,
            self.calls + other.calls,
            self.dropped + other.dropped,
        )


@dataclass(frozen=True)
class DriftState:
    """What was observed of one model.

    Attributes:
        layers: By name, in the order of the calls.
        samples: Observed.
        forwards: Calls of the model, observed or not.
        batches: How many calls came with each size of a batch, observed or not.
    """

    layers: Mapping[str, LayerState]
    samples: int = 0
    forwards: int = 0
    batches: Mapping[int, int] = field(default_factory=dict)

    def __add__(self, other: DriftState) -> DriftState:
        """Both together.

        Raises:
            UsageError: They are of different models.
        """
        self._check(other)
        layers = dict(self.layers)
        for name, layer in other.layers.items():
            layers[name] = layers[name] + layer if name in layers else layer
        batches = Counter(self.batches) + Counter(other.batches)
        return DriftState(
            layers, self.samples + other.samples, self.forwards + other.forwards, dict(batches)
        )

    def save(self, path: str | Path) -> None:
        """Write it, whole or not at all, in the place of an older state too.

        Raises:
            OutputError: It cannot be written, or would replace what is no state.
        """
        path = Path(path)
        check_state_path(path)
        with Staging(path, patience=30) as staging:
            (staging.folder / path.name).write_bytes(self._bytes())
            staging.commit(path.name, ())

    @classmethod
    def read(cls, path: str | Path) -> DriftState:
        """Read what `save` wrote; nothing in the file runs.

        Raises:
            UsageError: There is no such file.
            Refused: It is not such a file, or is damaged.
        """
        path = Path(path)
        if not path.is_file():
            raise UsageError(f"state {path}", "there is no such file", _REMEDY)
        try:
            return _parsed(path)
        except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as error:
            raise Refused(f"state {path}", f"it cannot be read ({error})", _REMEDY) from error

    def _bytes(self) -> bytes:
        about = {
            "schema": _SCHEMA,
            "samples": self.samples,
            "forwards": self.forwards,
            "batches": {str(size): count for size, count in sorted(self.batches.items())},
            "layers": [
                {"name": name, "eps": x.running.eps, "calls": x.calls, "dropped": x.dropped}
                for name, x in self.layers.items()
            ],
        }
        arrays = {"about": np.frombuffer(json.dumps(about).encode(), np.uint8)}
        for place, layer in enumerate(self.layers.values()):
            seen = layer.seen
            values = (layer.running.mean, layer.running.var, seen.count, seen.mean, seen.squares)
            for name, value in zip(_ARRAYS, values, strict=True):
                arrays[f"{place}.{name}"] = value.numpy()
        stream = io.BytesIO()
        np.savez(stream, **arrays)  # type: ignore[arg-type]
        return stream.getvalue()

    def _check(self, other: DriftState) -> None:
        for name in self.layers.keys() & other.layers.keys():
            one, two = self.layers[name], other.layers[name]
            same = one.seen.mean.shape == two.seen.mean.shape and one.running.equals(two.running)
            if not same:
                why = f"{name or 'the model'} has other running statistics, channels or groups"
                raise UsageError("states of different models", why, "Merge those of one model")


def check_state_path(path: Path) -> None:
    """See that no model or other file would be lost.

    Raises:
        OutputError: Something lies there that is no state.
    """
    if path.is_file():
        try:
            DriftState.read(path)
        except Refused:
            why = "what lies there is no state of drift"
            raise OutputError(f"cannot write {path}", why, "Name another file") from None


def merge(states: Sequence[DriftState]) -> DriftState:
    """All together; the order changes nothing but the last bits.

    Raises:
        UsageError: There is none, or they are of different models.
    """
    if not states:
        raise UsageError("nothing to merge", "no state was given", "Give two or more")
    first, *rest = states
    for each in rest:
        first = first + each
    return first


def _parsed(path: Path) -> DriftState:
    with zipfile.ZipFile(path) as archive:
        if sum(each.file_size for each in archive.infolist()) > _MOST_BYTES:
            raise ValueError("it is larger than any state")
    with np.load(path, allow_pickle=False) as file:
        about: dict[str, Any] = json.loads(bytes(file["about"]))
        if about["schema"] != _SCHEMA:
            raise ValueError(f"its schema is {about['schema']!r}, not {_SCHEMA!r}")
        layers = {
            str(each["name"]): _layer(each, [file[f"{place}.{name}"] for name in _ARRAYS])
            for place, each in enumerate(about["layers"])
        }
        batches = {int(size): int(count) for size, count in about["batches"].items()}
        return DriftState(layers, int(about["samples"]), int(about["forwards"]), batches)


def _layer(about: Mapping[str, Any], arrays: Sequence[np.ndarray]) -> LayerState:
    mean, var, count, seen, squares = (
        torch.tensor(each.astype(np.float64, casting="safe")) for each in arrays
    )
    shaped = mean.dim() == 1 and mean.shape == var.shape and seen.shape == squares.shape
    if not shaped or seen.shape != (len(count), len(mean)) or count.shape[1:] != (1,):
        raise ValueError(f"the arrays of {about['name']!r} do not fit")
    if bool((count < 0).any() or (squares < 0).any()):
        raise ValueError(f"the moments of {about['name']!r} are none of any data")
    running = Running(mean, var, float(about["eps"]))
    moments = Moments(count, seen, squares)
    return LayerState(running, moments, int(about["calls"]), int(about["dropped"]))
