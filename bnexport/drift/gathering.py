"""What a monitor gathers, whatever it watches: from any number of threads, in constant memory."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from bnexport.drift.judge import ALPHA, THRESHOLD, Drift, judge
from bnexport.drift.state import GROUPS, DriftState, LayerState, Running
from bnexport.errors import UsageError
from bnexport.moments import Moments

__all__ = ["Gathering"]


class Gathering:
    """Samples in, a state out; the base of the monitors.

    Args:
        block: So many samples in a row are taken to depend on each other.

    Raises:
        UsageError: ``block`` is below 1.
    """

    def __init__(self, block: int = 1) -> None:
        if block < 1:
            raise UsageError(f"block={block}", "it holds no sample", "Give 1 or more")
        self._block, self._lock = block, threading.Lock()
        self._forget()

    def state(self) -> DriftState:
        """What was observed so far."""
        with self._lock:
            return DriftState(
                dict(self._layers), self._samples, self._forwards, dict(self._batches)
            )

    def reset(self) -> None:
        """Forget what was observed: to begin the next hour, say."""
        with self._lock:
            self._forget()

    def save(self, path: str | Path) -> None:
        """Write what was observed, for `bnexport drift merge` and `show`.

        Raises:
            OutputError: It cannot be written, or would replace what is no state.
        """
        self.state().save(path)

    def judge(self, *, alpha: float = ALPHA, threshold: float = THRESHOLD) -> Drift:
        """Tell drift from noise; see `bnexport.drift.judge.judge`.

        Raises:
            UsageError: Too little was observed.
        """
        return judge(self.state(), alpha=alpha, threshold=threshold)

    def prometheus(self, labels: Mapping[str, str] | None = None) -> str:
        """Metrics in Prometheus's text format.

        Args:
            labels: Added to each of them.

        Raises:
            UsageError: A label's name cannot be used.
        """
        from bnexport.drift.prometheus import exposition

        return exposition(self.state(), labels)

    def _begin(self, size: int, *, observed: bool = True) -> tuple[Tensor | None, bool]:
        """Count a call of ``size`` samples.

        Returns:
            The group of each of its samples, None where it is not observed; and whether a batch of this size is new.
        """
        with self._lock:
            self._forwards += 1
            new = size not in self._batches
            self._batches[size] += 1
            if not observed or not size:
                return None, new
            places = torch.arange(self._samples, self._samples + size)
            self._samples += size
            return places.div(self._block, rounding_mode="floor") % GROUPS, new

    def _add(self, name: str, running: Running, found: Moments, group: Tensor) -> None:
        """Add the moments of the rows that a layer saw, one group a row, but for rows with NaN or Inf."""
        rows = _rows(group, len(found.count))
        finite = (found.mean.isfinite() & found.squares.isfinite()).all(1)
        dropped = int((~finite).sum())
        if dropped:
            found = Moments(found.count[finite], found.mean[finite], found.squares[finite])
            rows = rows[finite]
        new = LayerState(running, found.gathered(rows, GROUPS), 1, dropped)
        with self._lock:
            before = self._layers.get(name)
            self._layers[name] = new if before is None else before + new

    def _forget(self) -> None:
        self._layers: dict[str, LayerState] = {}
        self._samples = self._forwards = 0
        self._batches: Counter[int] = Counter()


def _rows(group: Tensor, rows: int) -> Tensor:
    """The groups of the rows that reach a layer: it may see several of each sample (windows, pairs), or join them."""
    if rows == len(group):
        return group
    if rows % len(group) == 0:
        return group.repeat_interleave(rows // len(group))
    return group[:1].expand(rows)
