"""Work in a thread: results, errors and events come to the caller; interrupts reach the work."""

import os
import signal
import threading
import time

import pytest

from bnexport.events import Event
from bnexport.targets.tensorrt.worker import run_cancellable

ME = Event("build", "step", "one")


def test_the_result_is_returned():
    assert run_cancellable(lambda report, cancelled: 42, lambda event: None) == 42


def test_an_error_is_raised_here():
    def work(report, cancelled):
        raise ZeroDivisionError("of the work")

    with pytest.raises(ZeroDivisionError, match="of the work"):
        run_cancellable(work, lambda event: None)


def test_events_are_observed_in_the_callers_thread():
    seen = []

    def work(report, cancelled):
        report(ME)
        return threading.get_ident()

    there = run_cancellable(work, lambda event: seen.append((event, threading.get_ident())))
    assert seen == [(ME, threading.get_ident())]
    assert there != threading.get_ident()


def until_cancelled(report, cancelled):
    report(ME)
    assert cancelled.wait(30)
    time.sleep(0.05)
    until_cancelled.ended = True


def test_an_observer_that_raises_cancels_the_work():
    until_cancelled.ended = False

    def observe(event):
        raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        run_cancellable(until_cancelled, observe)
    assert until_cancelled.ended


def test_an_interrupt_while_waiting_cancels_the_work():
    until_cancelled.ended = False
    timer = threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        run_cancellable(until_cancelled, lambda event: None)
    timer.join()
    assert until_cancelled.ended


def test_a_failure_holds_on_to_nothing_of_the_build():
    def work(report, cancelled):
        builder = object()
        raise ValueError(f"no {type(builder).__name__}")

    with pytest.raises(ValueError, match="no object") as failure:
        run_cancellable(work, lambda event: None)
    frames = [entry.frame for entry in failure.traceback]
    assert "work" in {entry.name for entry in failure.traceback}
    assert not any("builder" in frame.f_locals for frame in frames)
