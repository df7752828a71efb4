"""Watch a live model: a few of its calls, in constant memory, from any number of threads."""

from __future__ import annotations

import logging
import random
import threading
from contextlib import ExitStack
from types import TracebackType
from typing import Any, Self

import torch
from torch import Tensor, nn

from bnexport.drift.gathering import Gathering
from bnexport.drift.state import Running
from bnexport.errors import UsageError
from bnexport.health.facts import is_batch_norm
from bnexport.moments import Moments, Seen, watching
from bnexport.passes.modules import unwrap

__all__ = ["DriftMonitor", "running_of"]
logger = logging.getLogger(__name__)


class DriftMonitor(Gathering):
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
        super().__init__(block)
        if every < 1:
            raise UsageError("DriftMonitor", f"every={every}", "Give 1 or more")
        self._module, _ = unwrap(module)
        self._layers_of = _normalising(self._module)
        if not self._layers_of:
            why = "it has no BatchNorm with running statistics"
            raise UsageError(f"drift of {type(self._module).__name__}", why, "Inspect the model")
        self._running = {name: running_of(layer) for name, layer in self._layers_of.items()}
        self._every, self._random = every, random.Random(seed)
        self._call = _Call()
        self._hooks: ExitStack | None = None

    def attach(self) -> Self:
        """Begin to watch; a second call changes nothing."""
        if self._hooks is None:
            # The layers' hooks first: in a model that is one BatchNorm, the model's own comes before it then.
            hooks = ExitStack()
            hooks.enter_context(watching(self._layers_of, self._see, self._observes))
            before = self._module.register_forward_pre_hook(
                self._called, prepend=True, with_kwargs=True
            )
            behind = self._module.register_forward_hook(self._returned, always_call=True)
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

    def _called(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        size = _size((*args, *kwargs.values()))
        observed = self._every == 1 or self._random.random() * self._every < 1
        self._call.group, new = self._begin(size, observed=observed)
        if new:
            logger.info("first batch of %d", size)

    def _returned(self, module: nn.Module, args: object, result: object) -> None:
        self._call.group = None

    def _observes(self) -> bool:
        return self._call.group is not None

    def _see(self, seen: Seen) -> None:
        group = self._call.group
        if group is not None:
            running = self._running[seen.name]
            self._add(seen.name, running, Moments.of_samples(seen.values), group)


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
