"""Watch a live model: a few of its calls, in constant memory, from any number of threads."""

from __future__ import annotations

import logging
import random
import threading
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import torch
from torch import Tensor, nn

from bnexport.drift.judge import ALPHA, THRESHOLD, Drift, judge
from bnexport.drift.state import GROUPS, DriftState, LayerState, Running
from bnexport.errors import UsageError
from bnexport.health.facts import is_batch_norm
from bnexport.moments import Moments, Seen, watching
from bnexport.passes.modules import unwrap

__all__ = ["DriftMonitor", "running_of"]
logger = logging.getLogger(__name__)


class DriftMonitor:
    """Compares what the BatchNorms of a serving model are fed with their running statistics.

    The model computes what it computed before. Hooks are set on entering or by `attach`, and taken off on leaving or by
    `detach`. ::

        with DriftMonitor(model, every=32) as monitor:
            serve()
        monitor.save("worker3.drift")

    What is compiled by TorchScript or `torch.compile` before it is attached cannot be watched.

    Args:
        module: In eval mode, as it serves. Wrappers are looked through.
        every: One call in so many is observed, drawn at random: a period in the traffic then hides nothing.
        block: So many samples in a row are taken to depend on each other: frames of a video, say.
        seed: Of the draw; None: another one each time.

    Raises:
        UsageError: There is no BatchNorm with running statistics, or an argument cannot be used.
    """

    def __init__(
        self, module: nn.Module, *, every: int = 16, block: int = 1, seed: int | None = None
    ) -> None:
        if every < 1 or block < 1:
            raise UsageError("DriftMonitor", f"every={every}, block={block}", "Give 1 or more")
        self._module, _ = unwrap(module)
        self._layers = _normalising(self._module)
        if not self._layers:
            why = "it has no BatchNorm with running statistics"
            raise UsageError(f"drift of {type(self._module).__name__}", why, "Inspect the model")
        self._every, self._block = every, block
        self._random = random.Random(seed)
        self._lock = threading.Lock()
        self._call = _Call()
        self._hooks: ExitStack | None = None
        self._reset()

    def attach(self) -> Self:
        """Begin to watch; a second call changes nothing."""
        if self._hooks is None:
            # The layers' hooks first: in a model that is one BatchNorm, the model's own comes before it then.
            hooks = ExitStack()
            hooks.enter_context(watching(self._layers, self._see, self._observes))
            before = self._module.register_forward_pre_hook(
                self._begin, prepend=True, with_kwargs=True
            )
            behind = self._module.register_forward_hook(self._end, always_call=True)
            hooks.callback(before.remove)
            hooks.callback(behind.remove)
            self._hooks = hooks
        return self

    def detach(self) -> None:
        """Take the hooks off; what was observed stays."""
        if self._hooks is not None:
            self._hooks.close()
            self._hooks = None

    def __enter__(self) -> Self:
        return self.attach()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.detach()

    def state(self) -> DriftState:
        """What was observed so far."""
        with self._lock:
            layers = {name: self._states[name] for name in self._order}
            return DriftState(layers, self._samples, self._forwards, dict(self._batches))

    def reset(self) -> None:
        """Forget what was observed: to begin the next hour, say."""
        with self._lock:
            self._reset()

    def save(self, path: str | Path) -> None:
        """Write what was observed, for `bnexport drift merge` and `show`.

        Raises:
            OutputError: It cannot be written.
        """
        self.state().save(path)

    def judge(self, *, alpha: float = ALPHA, threshold: float = THRESHOLD) -> Drift:
        """Tell drift from noise; see `bnexport.drift.judge.judge`.

        Raises:
            UsageError: Too little was observed.
        """
        return judge(self.state(), alpha=alpha, threshold=threshold)

    def prometheus(self, labels: dict[str, str] | None = None) -> str:
        """Metrics in Prometheus's text format.

        Args:
            labels: Added to each of them.
        """
        from bnexport.drift.prometheus import exposition

        return exposition(self.state(), labels)

    def _reset(self) -> None:
        self._states = {
            name: LayerState(running_of(layer), Moments.none(_channels(layer), GROUPS))
            for name, layer in self._layers.items()
        }
        self._order: list[str] = []
        self._samples = self._forwards = 0
        self._batches: Counter[int] = Counter()

    def _begin(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        size = _size((*args, *kwargs.values()))
        with self._lock:
            self._forwards += 1
            new = size not in self._batches
            self._batches[size] += 1
            observed = self._every == 1 or self._random.random() * self._every < 1
            self._call.group = None
            if observed and size:
                places = torch.arange(self._samples, self._samples + size)
                self._samples += size
                self._call.group = places.div(self._block, rounding_mode="floor") % GROUPS
        if new:
            logger.info("first batch of %d", size)

    def _end(self, module: nn.Module, args: object, result: object) -> None:
        self._call.group = None

    def _observes(self) -> bool:
        return self._call.group is not None

    def _see(self, seen: Seen) -> None:
        group = self._call.group
        if group is None:
            return
        rows = _rows(group, len(seen.values))
        found = Moments.of_samples(seen.values)
        finite = (found.mean.isfinite() & found.squares.isfinite()).all(1)
        dropped = int((~finite).sum())
        if dropped:
            found = Moments(found.count[finite], found.mean[finite], found.squares[finite])
            rows = rows[finite]
        gathered = found.gathered(rows, GROUPS)
        with self._lock:
            before = self._states[seen.name]
            if not before.calls:
                self._order.append(seen.name)
            self._states[seen.name] = before + LayerState(before.running, gathered, 1, dropped)


class _Call(threading.local):
    """The call that this thread is in: the group of each of its samples; None where it is not observed."""

    group: Tensor | None = None


def running_of(layer: nn.Module) -> Running:
    """What a BatchNorm expects, by the values that its buffers have now."""
    mean, var = (
        getattr(layer, name).detach().double().cpu().flatten().clone()
        for name in ("running_mean", "running_var")
    )
    return Running(mean, var, float(getattr(layer, "eps", 1e-5)))


def _size(given: tuple[Any, ...]) -> int:
    """Samples in a call: the first axis of the first tensor; detectors take a list of pictures."""
    for value in given:
        if isinstance(value, Tensor) and value.dim():
            return len(value)
        if isinstance(value, list | tuple) and value and isinstance(value[0], Tensor):
            return len(value)
    return 0


def _rows(group: Tensor, rows: int) -> Tensor:
    """The groups of the rows that reach a layer: it may see several of each sample (windows, pairs), or join them."""
    if rows == len(group):
        return group
    if rows % len(group) == 0:
        return group.repeat_interleave(rows // len(group))
    return group[:1].expand(rows)


def _normalising(module: nn.Module) -> dict[str, nn.Module]:
    """The BatchNorms whose statistics are usable."""
    return {
        name: layer
        for name, layer in module.named_modules()
        if is_batch_norm(layer)
        and not isinstance(layer, torch.jit.ScriptModule)
        and all(_usable(getattr(layer, key)) for key in ("running_mean", "running_var"))
    }


def _usable(value: object) -> bool:
    return isinstance(value, Tensor) and not value.is_meta and bool(value.isfinite().all())


def _channels(layer: nn.Module) -> int:
    found = layer.running_mean
    return found.numel() if isinstance(found, Tensor) else 0
