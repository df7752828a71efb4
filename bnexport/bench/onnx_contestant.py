"""ONNX Runtime as it is deployed: the processor, or a GPU with inputs and outputs that stay there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bnexport.bench.contestant import Outputs, WallClock
from bnexport.bench.on_stream import OnStream
from bnexport.parity.arrays import Array, Arrays
from bnexport.parity.onnx_runner import OnnxRunner
from bnexport.parity.runner import Opened, run_errors

__all__ = ["OnCuda", "OnProcessor"]


class _Onnx(Opened):
    cuda_graph = False

    def __init__(self, runner: OnnxRunner, names: Sequence[str], what: str) -> None:
        self._runner, self._says = runner, f"ONNX Runtime cannot run {what}"
        self._session: Any = None
        self._feeds: dict[str, Array] = {}
        self.title = runner.name
        runner.take(names)

    def _enter(self) -> None:
        self._runner.__enter__()
        self.title = f"{self._runner.name} {self._runner.version}"

    def _leave(self) -> None:
        self._session, self._feeds = None, {}
        self._runner.__exit__(None, None, None)

    @property
    def device(self) -> str:
        """As in `Contestant`; known when the file is opened."""
        return self._runner.device

    @property
    def precision(self) -> str:
        """As in `Contestant`; known when the file is opened."""
        return self._runner.precision

    def _named(self, arrays: Sequence[Array]) -> Outputs:
        names = [value.name for value in self._session.get_outputs()]
        return dict(zip(names, arrays, strict=True))


class OnProcessor(WallClock, _Onnx):
    """On the processor: NumPy arrays in and out, which ONNX Runtime does not copy.

    Args:
        runner: How the file is opened.
        names: Of the inputs.
        what: What to call it in errors.
    """

    def lay(self, inputs: Arrays) -> None:
        """As in `Contestant`."""
        self._session, self._feeds = self._runner.laid(inputs)
        with run_errors(self._says):
            self.run()

    def run(self) -> None:
        """As in `Contestant`."""
        self._session.run(None, self._feeds)

    def outputs(self) -> Outputs:
        """As in `Contestant`."""
        with run_errors(self._says):
            return self._named(self._session.run(None, self._feeds))


class OnCuda(OnStream, _Onnx):
    """On the first GPU, by CUDA or TensorRT, on the stream of this contestant.

    Args:
        runner: How the file is opened; with the stream of ``on``.
        names: Of the inputs.
        what: What to call it in errors.
        on: Whose stream the runner was given.
    """

    def __init__(self, runner: OnnxRunner, names: Sequence[str], what: str, on: OnStream) -> None:
        self.stream = on.stream
        _Onnx.__init__(self, runner, names, what)
        self._binding: Any = None

    def lay(self, inputs: Arrays) -> None:
        """As in `Contestant`; the inputs go to the GPU, and the outputs stay there."""
        import onnxruntime as ort

        self._session, self._feeds = self._runner.laid(inputs)
        with run_errors(self._says):
            self._binding = self._session.io_binding()
            for name, array in self._feeds.items():
                value = ort.OrtValue.ortvalue_from_numpy(array, "cuda", 0)
                self._binding.bind_ortvalue_input(name, value)
            for output in self._session.get_outputs():
                self._binding.bind_output(output.name, "cuda", 0)
            self.laid()
            self.run()

    def enqueue(self) -> None:
        """As in `OnStream`."""
        self._session.run_with_iobinding(self._binding)

    def outputs(self) -> Outputs:
        """As in `Contestant`."""
        with run_errors(self._says):
            self.run()
            return self._named(self._binding.copy_outputs_to_cpu())

    def _leave(self) -> None:
        self._binding = None
        super()._leave()
