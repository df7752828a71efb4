"""Native work in a thread of its own, so that Ctrl-C stops it cleanly.

A signal's exception is raised in the main thread between two lines of Python. While TensorRT builds
there, those are the lines of its callbacks, and it swallows what they raise: Ctrl-C would be lost.
So the build runs in a thread, and the caller's waits where an exception can reach it.
"""

from __future__ import annotations

import threading
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Generic, TypeVar

from bnexport.events import Event, Observer

__all__ = ["run_cancellable"]

T = TypeVar("T")
Work = Callable[[Callable[[Event], None], threading.Event], T]


@dataclass(frozen=True)
class _Done(Generic[T]):
    value: T


@dataclass(frozen=True)
class _Failed:
    error: BaseException


def run_cancellable(work: Work[T], observe: Observer) -> T:
    """Run ``work(report, cancelled)`` in a thread; observe what it reports in this one.

    When this thread is interrupted, or ``observe`` raises, ``cancelled`` is set and the work is
    waited for (a second interrupt ends the wait). What the work raises is raised here.
    """
    queue: SimpleQueue[Event | _Done[T] | _Failed] = SimpleQueue()
    cancelled = threading.Event()

    def target() -> None:
        try:
            queue.put(_Done(work(queue.put, cancelled)))
        except BaseException as error:  # raised again in the thread that waits
            _release(error)
            queue.put(_Failed(error))

    thread = threading.Thread(target=target, name="bnexport-build", daemon=True)
    thread.start()
    try:
        while True:
            match queue.get():
                case _Done(value):
                    return value
                case _Failed(error):
                    raise error
                case event:
                    observe(event)
    finally:
        cancelled.set()
        thread.join()


def _release(error: BaseException | None) -> None:
    """Let go of what the frames behind an error hold, here and now.

    An error holds its frames and they hold it, so a builder among their variables would live until
    Python collects cycles: which may be inside the next builder's constructor, from its log callback,
    where freeing the old one waits for a lock that the constructor holds.
    """
    while error is not None:
        traceback.clear_frames(error.__traceback__)
        error = error.__cause__ or error.__context__
