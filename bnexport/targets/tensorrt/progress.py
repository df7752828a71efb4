"""How far a build is, from TensorRT's nested phases, and the way to stop it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from bnexport.events import Event

__all__ = ["Phases", "make_monitor"]

_SMALLEST_STEP = 0.01


@dataclass
class _Phase:
    parent: str | None
    steps: int
    done: int = 0
    inner: float = 0.0

    @property
    def fraction(self) -> float:
        return min(1.0, (self.done + self.inner) / max(self.steps, 1))


class Phases:
    """The open phases. A step counts for its share of the step of the phase around it.

    TensorRT calls from threads of its own.
    """

    def __init__(self, report: Callable[[Event], None]) -> None:
        self._report = report
        self._open: dict[str, _Phase] = {}
        self._fraction = 0.0
        self._lock = threading.Lock()

    def start(self, name: str, parent: str | None, steps: int) -> None:
        with self._lock:
            self._open[name] = _Phase(parent, steps)
            self._tell(name)

    def step(self, name: str) -> None:
        with self._lock:
            if phase := self._open.get(name):
                phase.done, phase.inner = phase.done + 1, 0.0
                self._rise(phase, name)

    def finish(self, name: str) -> None:
        with self._lock:
            self._open.pop(name, None)

    def _rise(self, phase: _Phase, name: str) -> None:
        for _ in self._open:  # as many steps outward as there are phases at most
            outer = self._open.get(phase.parent or "")
            if outer is None:
                break
            outer.inner, phase = phase.fraction, outer
        if phase.fraction >= self._fraction + _SMALLEST_STEP:
            self._fraction = phase.fraction
            self._tell(name)

    def _tell(self, name: str) -> None:
        self._report(Event("build", "step", name, fraction=self._fraction))


def make_monitor(module: Any, phases: Phases, cancelled: threading.Event) -> Any:
    """An ``IProgressMonitor`` of this TensorRT; the build stops at the step after ``cancelled``."""

    class Monitor(module.IProgressMonitor):  # type: ignore[misc]
        def __init__(self) -> None:
            module.IProgressMonitor.__init__(self)  # pybind11 wants the base named

        def phase_start(self, name: str, parent: str | None, steps: int) -> None:
            phases.start(name, parent, steps)

        def step_complete(self, name: str, step: int) -> bool:
            phases.step(name)
            return not cancelled.is_set()

        def phase_finish(self, name: str) -> None:
            phases.finish(name)

    return Monitor()
