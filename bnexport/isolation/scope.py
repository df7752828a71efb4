"""Where native work is isolated: for the length of one call of the public API."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import ParamSpec, TypeVar, cast

from bnexport.isolation.settings import Isolation
from bnexport.isolation.worker import Worker

__all__ = ["Scope", "current", "expect", "isolated", "isolating", "meet_foreign"]

P = ParamSpec("P")
R = TypeVar("R")


class Scope:
    """One call's worker, started when it is first needed.

    Args:
        settings: Its limits.
        foreign: See the attribute.

    Attributes:
        foreign: Whether the graph is somebody else's: then sessions, checks and shape inference are isolated, too.
            A graph that bnexport captured from a module is held to be harmless there.
    """

    def __init__(self, settings: Isolation, *, foreign: bool) -> None:
        self.settings, self.foreign = settings, foreign
        self._worker: Worker | None = None

    def worker(self) -> Worker:
        """The worker; a new one, where the last one died."""
        if self._worker is None or not self._worker.alive:
            self._worker = Worker(self.settings)
        return self._worker

    def close(self) -> None:
        """Stop the worker."""
        if self._worker is not None:
            self._worker.close()
            self._worker = None


_CURRENT: ContextVar[Scope | None] = ContextVar("bnexport_isolation", default=None)


def current() -> Scope | None:
    """The scope of this call; None: native work is done in this process."""
    return _CURRENT.get()


@contextmanager
def isolated(settings: Isolation | None = None, *, foreign: bool = False) -> Iterator[None]:
    """Isolate native work for the length of a ``with`` block.

    Args:
        settings: None: the defaults. Inside another such block, that one's hold.
        foreign: See `Scope`.
    """
    settings = settings or Isolation()
    outer = _CURRENT.get()
    if settings.in_process or outer is not None:
        if outer is not None:
            outer.foreign = outer.foreign or foreign
        yield
        return
    scope = Scope(settings, foreign=foreign)
    token = _CURRENT.set(scope)
    try:
        yield
    finally:
        _CURRENT.reset(token)
        scope.close()


def isolating(*, foreign: bool = False) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Isolate a function's native work, as its keyword argument ``isolation`` says."""

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        @functools.wraps(function)
        def call(*args: P.args, **kwargs: P.kwargs) -> R:
            __tracebackhide__ = True  # pytest shows the caller's line
            with isolated(cast("Isolation | None", kwargs.get("isolation")), foreign=foreign):
                return function(*args, **kwargs)

        return call

    return decorate


def expect(step: str) -> None:
    """Let the worker make ready for a step, beside the caller, which does something else meanwhile."""
    scope = _CURRENT.get()
    if scope is not None:
        scope.worker().warm(step)


def meet_foreign() -> None:
    """From here on the graph is somebody else's."""
    scope = _CURRENT.get()
    if scope is not None:
        scope.foreign = True
