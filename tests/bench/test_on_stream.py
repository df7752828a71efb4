"""Where the events stand, seen on the processor by streams and events that only record."""

import contextlib

import pytest
import torch

from bnexport.bench.on_stream import OnStream


@pytest.fixture
def log(monkeypatch):
    """What was done, in order; each event lies a millisecond after the one before it."""
    done, clock = [], iter(range(100))

    class Stream:
        def synchronize(self):
            done.append("wait for the stream")

    class Event:
        def __init__(self, *, enable_timing):
            assert enable_timing

        def record(self, stream):
            self.at = next(clock)
            done.append("event")

        def synchronize(self):
            done.append("wait for the event")

        def elapsed_time(self, other):
            return float(other.at - self.at)

    monkeypatch.setattr(torch.cuda, "Stream", Stream)
    monkeypatch.setattr(torch.cuda, "Event", Event)
    monkeypatch.setattr(torch.cuda, "stream", lambda stream: contextlib.nullcontext())
    return done


class Recording(OnStream):
    def __init__(self, log):
        super().__init__()
        self.log = log

    def enqueue(self):
        self.log.append("enqueue")


def test_the_events_stand_around_the_work(log):
    Recording(log).timed()
    assert log == ["event", "enqueue", "event", "wait for the event"]


def test_the_time_is_in_seconds(log):
    assert Recording(log).timed() == 0.001


def test_a_run_ends_when_the_stream_does(log):
    Recording(log).run()
    assert log == ["enqueue", "wait for the stream"]
