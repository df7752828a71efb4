"""What every runtime looks like to the judge."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import Protocol, Self, runtime_checkable

from bnexport.errors import BnexportError, ParityFailure
from bnexport.parity.arrays import Arrays

__all__ = [
    "Fixed",
    "FrozenBatch",
    "Knowing",
    "Named",
    "Opened",
    "RunFailed",
    "Runner",
    "label",
    "placed",
    "run_errors",
]


_OPEN = (":", "indices")


class RunFailed(ParityFailure):
    """A runtime could not open the model or run it on these inputs."""


class FrozenBatch(RunFailed):
    """The model takes a batch of one size alone."""


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


@runtime_checkable
class Named(Protocol):
    """A runner whose inputs have names."""

    def take(self, names: Sequence[str]) -> None:
        """Say which inputs `run` is given, in order.

        A file that has inputs of just these names is fed by them, as a deployment feeds it; another by their places.
        """
        ...


@runtime_checkable
class Knowing(Protocol):
    """A runner that can be told what it would give."""

    def know(self, inputs: Arrays, outputs: Arrays) -> None:
        """Give ``outputs`` the next time that ``inputs`` are run."""
        ...

    def run(self, inputs: Arrays) -> Arrays:
        """As in `Runner`."""
        ...


@runtime_checkable
class Fixed(Protocol):
    """A runner whose model may have been built for one batch on purpose.

    Attributes:
        fixed_batch: That batch; None: it takes any.
    """

    fixed_batch: int | None


def placed(inputs: Arrays, names: Sequence[str], found: Sequence[str]) -> Arrays:
    """``inputs``, which are called ``names``, in the order of ``found``."""
    if len(names) != len(inputs) or sorted(names) != sorted(found):
        return inputs
    by_name = dict(zip(names, inputs, strict=True))
    return tuple(by_name[name] for name in found)


class Opened:
    """The half of a runner that makes it a context manager: it opens as it is entered and lets go as it is left.

    Entered again inside, it stays open until the outermost is left.
    """

    _depth = 0

    def __enter__(self) -> Self:
        if not self._depth:
            self._enter()
        self._depth += 1
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._depth -= 1
        if not self._depth:
            self._leave()

    def _enter(self) -> None:
        raise NotImplementedError

    def _leave(self) -> None:
        raise NotImplementedError


def label(runner: Runner) -> str:
    """``ONNX Runtime 1.32.0 (cpu)``."""
    return f"{runner.name} {runner.version} ({runner.device})"


@contextmanager
def run_errors(what: str, shortened: Callable[[str], str] = str) -> Iterator[None]:
    """Whatever a runtime or a model's own code raises is its failure to run, said in one line.

    Nothing narrower will do: the code is the user's, and runtimes raise classes that share no root.

    Args:
        what: What failed.
        shortened: Takes what says nothing to a user out of the line.

    Raises:
        RunFailed: In place of what was raised, unless that was bnexport's own.
    """
    try:
        yield
    except BnexportError:
        raise
    except Exception as error:
        lines = str(error).strip().splitlines() or [type(error).__name__]
        # Some break off in the middle of a sentence.
        said = (
            " ".join(map(str.strip, lines[:2])) if lines[0].rstrip().endswith(_OPEN) else lines[0]
        )
        raise RunFailed(what, shortened(said).rstrip(".")) from error
