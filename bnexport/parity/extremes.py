"""Inputs other than the usual ones: more draws, and numbers at the edges of what a network may be given.

A runtime that is right on noise of one size may still flush what is small, overflow on the way, or divide by
nothing. What is right there is what the model itself gives, and where it gives NaN there is nothing to judge.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from bnexport.inputs import Examples
from bnexport.parity.arrays import Array, Arrays, from_torch, is_floating
from bnexport.parity.origin import finite
from bnexport.parity.reference import Reference
from bnexport.parity.rounding import Rounding, channel
from bnexport.parity.runner import Knowing, RunFailed
from bnexport.parity.yardstick import MULTIPLE, Tally, Yardstick, alike_floor

__all__ = ["LARGE", "TELLING", "Extreme", "extreme_inputs", "extremes"]

LARGE = "inputs a thousand times as large"
TELLING = ("zeros", LARGE)  # what is divided by nothing, and what is clipped or overflows
SEEDS = (2, 3)  # 0 draws the samples, 1 their neighbours
NUDGES = 2

_NEAR = 6  # floors within which a runtime is near the model
_STACKED = 4  # batches that are run as one
_LARGEST = 1 << 21  # numbers that go into a run

_EDGES: Mapping[str, Callable[[Array], Array]] = {
    "zeros": np.zeros_like,
    "ones": np.ones_like,
    LARGE: lambda array: array * array.dtype.type(1000),
    "inputs a thousandth as large": lambda array: array / array.dtype.type(1000),
    "the smallest numbers there are": lambda array: (
        np.copysign(np.finfo(array.dtype).smallest_subnormal, array) * array.dtype.type(100)
    ),
}


@dataclass
class Extreme:
    """One batch of such inputs.

    The truth is not needed where a runtime comes close enough to the model in its own arithmetic. What passes is
    within 8 times the model's rounding e, or 8 times the floor F, of the truth. A runtime at a distance d <= 6 F from
    the model is within d + e of it: of that, 8 e is more where e > d / 7, and 8 F where it is not.

    Attributes:
        name: What they are: ``zeros``.
        inputs: One array an input.
        reference: The model.
        usual: How far rounding goes on the usual inputs.
        own: What the model's own arithmetic makes of them, where that is all numbers.
    """

    name: str
    inputs: Arrays
    reference: Reference
    usual: Rounding
    own: Arrays | None = None

    @functools.cached_property
    def truth(self) -> Arrays:
        """What is right on them."""
        with self.reference.runner as runner:
            return runner.run(self.inputs)

    @functools.cached_property
    def rounding(self) -> Rounding:
        """How far rounding takes each output from there."""
        if self.own is not None and isinstance(self.reference.rounding, Knowing):
            self.reference.rounding.know(self.inputs, self.own)
        edge_of = self.usual if self.name in _EDGES else None
        return Rounding(self.reference, [self.inputs], [self.truth], NUDGES, edge_of=edge_of)

    def near(self, index: int) -> Yardstick | None:
        """By what to hold an output against ``own``; None: the truth must be known."""
        if self.own is None:
            return None
        own, usual = self.own[index], self.usual.level(index)
        tally = Tally()
        tally.add(own, own)
        found = tally.yardstick(
            self.reference.rounding.precision, alike_floor(channel(self.inputs))
        )
        return replace(found.levelled(usual), floor=found.floor * _NEAR / MULTIPLE)


def extreme_inputs(examples: Examples, n: int) -> dict[str, Arrays]:
    """By name, batches of ``n``. Integers and flags stay as they are drawn: those are known to be legal."""
    drawn = from_torch(examples.batch(n, 0))
    found = {f"draw {seed} of the inputs": from_torch(examples.batch(n, seed)) for seed in SEEDS}
    if any(map(_varies, drawn)):
        with np.errstate(over="ignore"):
            for name, edge in _EDGES.items():
                found[name] = tuple(
                    np.asarray(edge(array)) if _varies(array) else array for array in drawn
                )
    return {name: arrays for name, arrays in found.items() if all(map(_is_sound, arrays))}


def extremes(
    reference: Reference, inputs: Mapping[str, Arrays], usual: Rounding, *, stacked: bool = False
) -> tuple[tuple[Extreme, ...], dict[str, str]]:
    """What the reference makes of each; and the names of those with nothing to judge by, with the reason.

    Args:
        reference: The model.
        inputs: By name.
        usual: How far rounding goes on the usual inputs.
        stacked: Whether samples may be run side by side: each depends on itself alone, and all inputs have a batch.
    """
    if stacked:
        _run_together(reference, inputs)
    precision = reference.rounding.precision
    found: list[Extreme] = []
    left_out: dict[str, str] = {}
    for name, arrays in inputs.items():
        extreme = Extreme(name, arrays, reference, usual)
        try:
            if name in _EDGES and reference.runner is not reference.rounding:
                with reference.rounding as own:
                    outputs = own.run(arrays)
                if all(map(finite, outputs)):
                    found.append(replace(extreme, own=outputs))
                    continue
            sound = extreme.rounding.finite
        except RunFailed:
            left_out[name] = "the model itself cannot run on them"
            continue
        if not sound:
            left_out[name] = "the model itself gives NaN or Inf on them"
        elif all(each.vague for each in extreme.rounding.least(precision) or ()):
            left_out[name] = "rounding alone changes what the model itself makes of them"
        else:
            found.append(extreme)
    return tuple(found), left_out


def _run_together(reference: Reference, inputs: Mapping[str, Arrays]) -> None:
    """Run all of them in a few large batches, which takes less time; each is then known when it is asked for."""
    wide, own = reference.runner, reference.rounding
    if wide is own or not isinstance(wide, Knowing) or not isinstance(own, Knowing):
        return
    _stack(wide, [arrays for name, arrays in inputs.items() if name not in _EDGES])
    _stack(own, list(inputs.values()))


def _stack(runner: Knowing, batches: Sequence[Arrays]) -> None:
    """Run batches as one, and tell the runner what came of each; where that fails each is left to itself."""
    if not batches:
        return
    samples = len(batches[0][0])
    size = sum(array.size for array in batches[0])
    most = max(1, min(_STACKED, _LARGEST // max(1, size)))
    for start in range(0, len(batches), most):
        part = batches[start : start + most]
        together = tuple(np.concatenate(arrays) for arrays in zip(*part, strict=True))
        try:
            outputs = runner.run(together)
        except RunFailed:
            return
        if any(len(array.shape) == 0 or len(array) != samples * len(part) for array in outputs):
            return
        for index, batch in enumerate(part):
            rows = slice(index * samples, (index + 1) * samples)
            runner.know(batch, tuple(array[rows] for array in outputs))


def _varies(array: Array) -> bool:
    return is_floating(array) and array.dtype.kind == "f"


def _is_sound(array: Array) -> bool:
    return not is_floating(array) or finite(array)
