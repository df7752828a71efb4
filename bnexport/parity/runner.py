"""What every runtime looks like to the judge."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Protocol, Self

import numpy as np

from bnexport.errors import BnexportError, ParityFailure
from bnexport.parity.arrays import Array, Arrays

__all__ = ["Nudged", "RunFailed", "Runner", "label", "run_errors"]


class RunFailed(ParityFailure):
    """A runtime could not open the model or run it on these inputs."""


class Runner(Protocol):
    """A model in one runtime; a context manager that may be entered again after it was left.

    Attributes:
        name: As shown: ``ONNX Runtime``.
        version: Of the runtime.
        device: ``cpu`` or ``cuda``.
        precision: The arithmetic that it was asked for: ``float32``, ``tf32``, ``float16``.
    """

    @property
    def name(self) -> str: ...
    @property
    def version(self) -> str: ...
    @property
    def device(self) -> str: ...
    @property
    def precision(self) -> str: ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...

    def run(self, inputs: Arrays) -> Arrays:
        """Positional inputs in, outputs in order.

        Raises:
            RunFailed: The runtime raised.
        """
        ...


def label(runner: Runner) -> str:
    """``ONNX Runtime 1.32.0 (cpu)``."""
    return f"{runner.name} {runner.version} ({runner.device})"


@contextmanager
def run_errors(what: str) -> Iterator[None]:
    """Whatever a runtime or a model's own code raises is its failure to run, said in one line.

    Nothing narrower will do: the code is the user's, and runtimes raise classes that share no root.

    Raises:
        RunFailed: In place of what was raised, unless that was bnexport's own.
    """
    try:
        yield
    except BnexportError:
        raise
    except Exception as error:
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise RunFailed(what, lines[0].rstrip(".")) from error


class Nudged:
    """A runner whose floating inputs are moved by one unit in the last place, up or down at random.

    How far its outputs move is how much of the result rounding decides, for a reference that has
    no wider arithmetic.
    """

    def __init__(self, runner: Runner) -> None:
        self._runner = runner
        self.name, self.version, self.device = runner.name, runner.version, runner.device

    @property
    def precision(self) -> str:
        """A file's runner knows it once the file is open."""
        return self._runner.precision

    def __enter__(self) -> Self:
        self._runner.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._runner.__exit__(kind, error, trace)

    def run(self, inputs: Arrays) -> Arrays:
        draw = np.random.default_rng(0)
        return self._runner.run(tuple(_nudge(array, draw) for array in inputs))


def _nudge(array: Array, draw: np.random.Generator) -> Array:
    if array.dtype.kind != "f":
        return array
    away = np.where(draw.random(array.shape) < 0.5, -np.inf, np.inf).astype(array.dtype)
    moved: Array = np.nextafter(array, away)
    return moved
