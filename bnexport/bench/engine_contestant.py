"""A TensorRT engine as it is deployed: tensors that stay on the GPU, one stream, a CUDA graph if wanted."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from bnexport.bench.contestant import Outputs
from bnexport.bench.on_stream import OnStream, captured
from bnexport.parity.arrays import Arrays, from_torch
from bnexport.parity.runner import Opened, run_errors
from bnexport.targets.tensorrt import EngineRunner

__all__ = ["OfEngine"]


class OfEngine(OnStream, Opened):
    """An engine on the first GPU.

    Args:
        runner: How it is opened.
        names: Of the inputs.
        what: What to call it in errors.
        outputs: The names of its outputs, in order.
        cuda_graph: Whether to replay a CUDA graph.
    """

    def __init__(
        self,
        runner: EngineRunner,
        names: Sequence[str],
        what: str,
        outputs: Sequence[str],
        *,
        cuda_graph: bool,
    ) -> None:
        super().__init__()
        self._runner, self._what, self._names = runner, what, tuple(outputs)
        self._kept: tuple[list[Any], list[Any]] = [], []
        self._enqueued: Callable[[], object] = self._put
        self.cuda_graph = cuda_graph
        self.title = f"{runner.name} {runner.version}"
        self.device, self.precision = runner.device, runner.precision
        runner.take(names)

    def _enter(self) -> None:
        self._runner.__enter__()

    def _leave(self) -> None:
        self._kept, self._enqueued = ([], []), self._put
        self._runner.__exit__(None, None, None)

    def lay(self, inputs: Arrays) -> None:
        """As in `Contestant`; captures."""
        self._kept = self._runner.lay(inputs)
        self._enqueued = self._put
        self.laid()
        with run_errors(f"{self.title} cannot run {self._what}"):
            self.run()
            if self.cuda_graph:
                self._enqueued = captured(self.stream, self._put)

    def enqueue(self) -> None:
        """As in `OnStream`."""
        self._enqueued()

    def outputs(self) -> Outputs:
        """As in `Contestant`."""
        self.run()
        return dict(zip(self._names, from_torch(self._kept[1]), strict=True))

    def _put(self) -> None:
        self._runner.enqueue(self.stream.cuda_stream)
