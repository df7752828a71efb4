"""Times on a GPU: between two events on the stream that the work is put on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

__all__ = ["OnStream", "captured"]


class OnStream:
    """A contestant that puts its work on a CUDA stream of its own.

    The GPU is idle when a run begins, so the time between the events holds what it waits for the host to launch:
    that is a part of the latency, and what a CUDA graph saves.
    """

    def __init__(self) -> None:
        self.stream: Any = torch.cuda.Stream()  # type: ignore[no-untyped-call]

    def enqueue(self) -> object:
        """Put one run on the stream; what it gives there, where it gives something."""
        raise NotImplementedError

    def laid(self) -> None:
        """Wait for what was copied to the GPU: this stream does not wait for the one that copies."""
        torch.cuda.synchronize()

    def run(self) -> None:
        """As in `Contestant`."""
        with torch.cuda.stream(self.stream):
            self.enqueue()
        self.stream.synchronize()

    def timed(self) -> float:
        """As in `Contestant`."""
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))  # type: ignore[no-untyped-call]
        with torch.cuda.stream(self.stream):
            begin.record(self.stream)
            self.enqueue()
            end.record(self.stream)
        end.synchronize()
        return float(begin.elapsed_time(end)) / 1000


def captured(stream: Any, enqueue: Callable[[], object]) -> Callable[[], object]:
    """What replays one run as a CUDA graph.

    Args:
        stream: Where it is captured.
        enqueue: Puts one run on the current stream; it has been run before, for what is set up in a first run
            cannot be captured.
    """
    for _ in range(3):
        with torch.cuda.stream(stream):
            enqueue()
    stream.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, stream=stream):
        held = enqueue()

    def replay() -> object:
        graph.replay()
        return held  # the graph writes there: it must outlive the graph's last replay

    return replay
