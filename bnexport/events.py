"""Progress: the one callback from which printing, timing and ``--print-passes`` all come."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

__all__ = ["Event", "Observer", "Timer", "silent", "stage"]


@dataclass(frozen=True)
class Event:
    """Something began, went on or ended.

    Attributes:
        stage: ``load``, ``examine``, ``prepare``, ``capture``, ``rewrite``, ``lower``, ``build``, ``verify``,
            ``publish``.
        status: ``begin``, ``step``, ``end`` or ``note``.
        text: What: a pass's name, a runtime's name, a sentence.
        seconds: How long it took, on ``end`` and ``step``.
        fraction: How much of the stage is done, where that is known.
    """

    stage: str
    status: str
    text: str = ""
    seconds: float = 0.0
    fraction: float | None = None


Observer = Callable[[Event], None]


def silent(event: Event) -> None:
    """Ignore the event."""


@contextmanager
def stage(observe: Observer, name: str, text: str = "") -> Iterator[None]:
    """Report the beginning and the end of a stage; a stage that raises does not end."""
    observe(Event(name, "begin", text))
    start = time.perf_counter()
    yield
    observe(Event(name, "end", text, time.perf_counter() - start))


class Timer:
    """An observer that passes every event on and keeps the time that each stage took.

    Attributes:
        seconds: By stage, wall time.
    """

    def __init__(self, observe: Observer) -> None:
        self._observe = observe
        self.seconds: dict[str, float] = {}

    def __call__(self, event: Event) -> None:
        """Take note and pass on."""
        if event.status == "end":
            self.seconds[event.stage] = self.seconds.get(event.stage, 0.0) + event.seconds
        self._observe(event)
