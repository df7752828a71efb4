"""Watch an exported file that was converted with ``--drift-taps``, wherever it runs."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch

from bnexport.drift.judge import ALPHA, THRESHOLD, Drift, judge
from bnexport.drift.state import GROUPS, DriftState, LayerState
from bnexport.drift.taps import Tap, read_taps
from bnexport.errors import UsageError
from bnexport.moments import Moments

__all__ = ["TapMonitor"]


class TapMonitor:
    """Adds up the taps that each run of a file gives beside its outputs.

    ::

        monitor = TapMonitor.of(session)
        names = [output.name for output in session.get_outputs()]
        results = dict(zip(names, session.run(None, feed)))
        monitor.observe(results)

    Its states merge with those of a `DriftMonitor` of the model that was converted.

    Args:
        metadata: Of the file: ``session.get_modelmeta().custom_metadata_map``.
        block: So many samples in a row are taken to depend on each other.

    Attributes:
        outputs: The names of the taps. A run that is asked for other outputs only does not compute them.

    Raises:
        Refused: The file has no taps.
    """

    def __init__(self, metadata: Mapping[str, str], *, block: int = 1) -> None:
        self._taps = read_taps(metadata)
        self._block = max(block, 1)
        self._lock = threading.Lock()
        self.outputs = tuple(tap.output for tap in self._taps)
        self.reset()

    @classmethod
    def of(cls, session: Any, *, block: int = 1) -> Self:
        """Of an ONNX Runtime session."""
        return cls(session.get_modelmeta().custom_metadata_map, block=block)

    @classmethod
    def read(cls, path: str | Path, *, block: int = 1) -> Self:
        """Of an ONNX file, whose weights are not read.

        Raises:
            Refused: It cannot be read, or has no taps.
        """
        from bnexport.load import load

        model = load(path).model
        return cls(dict(getattr(model, "metadata_props", {})), block=block)

    def observe(self, results: Mapping[str, np.ndarray]) -> None:
        """Add one run.

        Args:
            results: Outputs by name; what is no tap is passed over.

        Raises:
            UsageError: A tap is missing, or has another shape.
        """
        if missing := [name for name in self.outputs if name not in results]:
            why = f"{len(missing)} of {len(self.outputs)} taps are missing: {missing[0]!r} first"
            raise UsageError("the outputs of a run", why, "Ask the session for all of its outputs")
        told = [tap.samples(np.asarray(results[tap.output])) for tap in self._taps]
        size = len(told[0][0])
        with self._lock:
            places = torch.arange(self._samples, self._samples + size)
            group = places.div(self._block, rounding_mode="floor") % GROUPS
            self._samples += size
            self._forwards += 1
            self._batches[size] += 1
            for tap, (count, mean, squares) in zip(self._taps, told, strict=True):
                self._add(tap, Moments(count, mean, squares), group)

    def _add(self, tap: Tap, found: Moments, group: torch.Tensor) -> None:
        rows = group if len(found.count) == len(group) else group[:1].expand(len(found.count))
        finite = (found.mean.isfinite() & found.squares.isfinite()).all(1)
        dropped = int((~finite).sum())
        kept = Moments(found.count[finite], found.mean[finite], found.squares[finite])
        new = LayerState(tap.running, kept.gathered(rows[finite], GROUPS), 1, dropped)
        before = self._states.get(tap.name)
        self._states[tap.name] = new if before is None else before + new

    def reset(self) -> None:
        """Forget what was observed."""
        self._states: dict[str, LayerState] = {}
        self._samples = self._forwards = 0
        self._batches: Counter[int] = Counter()

    def state(self) -> DriftState:
        """What was observed so far."""
        with self._lock:
            return DriftState(
                dict(self._states), self._samples, self._forwards, dict(self._batches)
            )

    def save(self, path: str | Path) -> None:
        """Write what was observed.

        Raises:
            OutputError: It cannot be written.
        """
        self.state().save(path)

    def judge(self, *, alpha: float = ALPHA, threshold: float = THRESHOLD) -> Drift:
        """Tell drift from noise.

        Raises:
            UsageError: Too little was observed.
        """
        return judge(self.state(), alpha=alpha, threshold=threshold)

    def prometheus(self, labels: Mapping[str, str] | None = None) -> str:
        """Metrics in Prometheus's text format."""
        from bnexport.drift.prometheus import exposition

        return exposition(self.state(), labels)
