"""ONNX's own reference evaluator: slow, in NumPy, and with a kernel for every type."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from bnexport.parity.arrays import Arrays
from bnexport.parity.runner import Opened, RunFailed, run_errors

__all__ = ["EvaluatorRunner"]


class EvaluatorRunner(Opened):
    """Stands in where ONNX Runtime has no kernel: it has none for a convolution in float64, for example."""

    name = "ONNX evaluator"
    device = "cpu"

    def __init__(self, path: Path, *, precision: str, outputs: tuple[str, ...]) -> None:
        import onnx

        self._path, self._outputs = path, outputs
        self.version: str = onnx.__version__
        self.precision = precision
        self._evaluator: Any = None

    def _enter(self) -> None:
        from onnx.reference import ReferenceEvaluator

        with run_errors(self._what()):
            self._evaluator = ReferenceEvaluator(str(self._path))
        found = tuple(self._evaluator.output_names)
        if found != self._outputs:
            why = f"its outputs are {', '.join(found)}; expected {', '.join(self._outputs)}"
            raise RunFailed(self._what(), why)

    def _leave(self) -> None:
        self._evaluator = None

    def run(self, inputs: Arrays) -> Arrays:
        """Positional inputs in, outputs in order."""
        feeds = dict(zip(self._evaluator.input_names, inputs, strict=True))
        with run_errors(self._what()):
            return tuple(np.asarray(array) for array in self._evaluator.run(None, feeds))

    def _what(self) -> str:
        return f"the ONNX evaluator cannot run {self._path.name}"
