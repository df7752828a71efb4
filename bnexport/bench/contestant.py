"""What takes part in a benchmark, and what its outputs must be before it may."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Protocol, Self

import numpy as np

from bnexport.errors import ParityFailure
from bnexport.parity.arrays import Array, Arrays, is_floating

__all__ = ["Contestant", "Settled", "Unfit", "WallClock", "check_finite", "check_shapes"]

Outputs = Mapping[str, Array]
_REMEDY = "See what is wrong with it: bnexport verify"


class Unfit(ParityFailure):
    """A contestant computes something that its time says nothing of: NaN, Inf, or outputs of other shapes."""


class Contestant(Protocol):
    """A model in one runtime, as it is timed; a context manager.

    Attributes:
        title: Of the runtime, with its version.
        device: ``cpu``, ``cuda``.
        precision: The arithmetic: ``float32``, ``tf32``, ``float16``.
        cuda_graph: Whether runs replay a CUDA graph.
    """

    @property
    def title(self) -> str: ...
    @property
    def device(self) -> str: ...
    @property
    def precision(self) -> str: ...
    @property
    def cuda_graph(self) -> bool: ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...

    def lay(self, inputs: Arrays) -> None:
        """Bring the inputs to where the runs read them, in the types that the model takes; untimed.

        Raises:
            RunFailed: They do not fit.
        """
        ...

    def run(self) -> None:
        """Run once on what was laid, to its end."""
        ...

    def timed(self) -> float:
        """Run once, and say how many seconds it took."""
        ...

    def outputs(self) -> Outputs:
        """Run once, and copy the outputs, by name."""
        ...


class Settled(Protocol):
    """What only has to be run."""

    def run(self) -> None: ...


class WallClock:
    """The time of a run that is at its end when `run` returns."""

    def timed(self: Settled) -> float:
        """As in `Contestant`."""
        start = time.perf_counter()
        self.run()
        return time.perf_counter() - start


def check_finite(who: str, outputs: Outputs) -> None:
    """Let only finite numbers pass.

    Args:
        who: The contestant, for the message.
        outputs: What it gave.

    Raises:
        Unfit: There is no output, or one holds NaN or Inf.
    """
    if not outputs:
        raise Unfit(f"{who} cannot be timed", "it gives no output")
    for name, array in outputs.items():
        if not is_floating(array):
            continue
        # bfloat16 is a type that NumPy itself cannot judge.
        wide = array if array.dtype.kind in "fc" else array.astype(np.float32)
        bad = array.size - int(np.isfinite(wide).sum())
        if bad:
            why = f"{bad} of the {array.size} elements of its output {name!r} are NaN or Inf"
            raise Unfit(f"{who} cannot be timed", why, _REMEDY)


def check_shapes(who: str, outputs: Outputs, first: str, expected: Outputs) -> None:
    """Let only those pass that compute as much as the first one.

    Outputs are matched by their names; where these are others, by their places.

    Raises:
        Unfit: There are more or fewer outputs, or one has another shape.
    """
    what = f"{who} cannot be timed against {first}"
    if len(outputs) != len(expected):
        raise Unfit(what, f"it has {len(outputs)} outputs, that one {len(expected)}", _REMEDY)
    names = list(expected) if set(expected) == set(outputs) else list(outputs)
    for ours, theirs in zip(names, expected, strict=True):
        found, wanted = outputs[ours].shape, expected[theirs].shape
        # A scalar and an array of one are the same to every reader of a benchmark.
        if found != wanted and not (math.prod(found) == math.prod(wanted) == 1):
            why = f"its output {ours!r} is {_shape(found)}, that one's {theirs!r} {_shape(wanted)}"
            raise Unfit(what, why, _REMEDY)


def _shape(sizes: tuple[int, ...]) -> str:
    return "x".join(map(str, sizes)) or "a scalar"
