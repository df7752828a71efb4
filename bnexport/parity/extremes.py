"""Inputs other than the usual ones: more draws, and numbers at the edges of what a network may be given.

A runtime that is right on noise of one size may still flush what is small, overflow on the way, or divide by
nothing. What is right there is what the model itself gives, and where it gives NaN there is nothing to judge.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from bnexport.inputs import Examples
from bnexport.parity.arrays import Array, Arrays, from_torch, is_floating
from bnexport.parity.origin import finite
from bnexport.parity.reference import Reference
from bnexport.parity.rounding import Rounding
from bnexport.parity.runner import RunFailed

__all__ = ["LARGE", "Extreme", "extreme_inputs", "extremes"]

LARGE = "inputs a thousand times as large"
SEEDS = (2, 3)  # 0 draws the samples, 1 their neighbours
NUDGES = 2

_EDGES: Mapping[str, Callable[[Array], Array]] = {
    "zeros": np.zeros_like,
    "ones": np.ones_like,
    LARGE: lambda array: array * array.dtype.type(1000),
    "inputs a thousandth as large": lambda array: array / array.dtype.type(1000),
    "the smallest numbers there are": lambda array: (
        np.copysign(np.finfo(array.dtype).smallest_subnormal, array) * array.dtype.type(100)
    ),
}


@dataclass(frozen=True)
class Extreme:
    """One batch of such inputs.

    Attributes:
        name: What they are: ``zeros``.
        inputs: One array an input.
        truth: What the reference makes of them.
        rounding: How far rounding takes each output from there.
    """

    name: str
    inputs: Arrays
    truth: Arrays
    rounding: Rounding


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
    reference: Reference, inputs: Mapping[str, Arrays], usual: Rounding
) -> tuple[tuple[Extreme, ...], dict[str, str]]:
    """What the reference makes of each; and the names of those with nothing to judge by, with the reason.

    Args:
        reference: The model.
        inputs: By name.
        usual: How far rounding goes on the usual inputs.
    """
    found: list[Extreme] = []
    left_out: dict[str, str] = {}
    for name, arrays in inputs.items():
        try:
            extreme = _extreme(reference, name, arrays, usual)
        except RunFailed:
            left_out[name] = "the model itself cannot run on them"
            continue
        if not extreme.rounding.finite:
            left_out[name] = "the model itself gives NaN or Inf on them"
        elif all(each.vague for each in extreme.rounding.of(reference.rounding.precision)):
            left_out[name] = "rounding alone changes what the model itself makes of them"
        else:
            found.append(extreme)
    return tuple(found), left_out


def _extreme(reference: Reference, name: str, arrays: Arrays, usual: Rounding) -> Extreme:
    with reference.runner as runner:
        truth = runner.run(arrays)
    edge_of = usual if name in _EDGES else None
    return Extreme(
        name, arrays, truth, Rounding(reference, [arrays], [truth], NUDGES, edge_of=edge_of)
    )


def _varies(array: Array) -> bool:
    return is_floating(array) and array.dtype.kind == "f"


def _is_sound(array: Array) -> bool:
    return not is_floating(array) or finite(array)
