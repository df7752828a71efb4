"""What one verification works on: inputs, the reference's outputs, and how far rounding goes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from bnexport.errors import ParityFailure
from bnexport.inputs import Examples, InputSpec
from bnexport.parity.arrays import Arrays, from_torch
from bnexport.parity.extremes import TELLING, Extreme, extreme_inputs, extremes
from bnexport.parity.invariance import batched
from bnexport.parity.reference import Reference
from bnexport.parity.rounding import Rounding
from bnexport.parity.runner import Knowing, Runner
from bnexport.parity.yardstick import NUDGES

__all__ = ["Trial", "prepare", "prepare_brief"]

_NEIGHBOURS_SEED = 1


@dataclass(frozen=True)
class Trial:
    """What every runtime is put through.

    Attributes:
        names: Of the outputs, in order.
        specs: Of the inputs, in order.
        inputs: By batch size.
        others: By batch size: the samples that take the neighbours' places.
        truth: The reference's outputs, by batch size.
        rounded: What the arithmetic that rounds makes of the inputs, by batch size.
        dtypes: That the outputs must have.
        rounding: Gives the yardsticks.
        reference: What gave ``truth``.
        extremes: Other inputs, and what is right on them.
        left_out: Those on which there is nothing to judge by, with the reason.
        narrow: The inputs of whole numbers whose range is not known.
    """

    names: tuple[str, ...]
    specs: tuple[InputSpec, ...]
    inputs: Mapping[int, Arrays]
    others: Mapping[int, Arrays]
    truth: Mapping[int, Arrays]
    rounded: Mapping[int, Arrays]
    dtypes: tuple[np.dtype[Any], ...]
    rounding: Rounding
    reference: Runner
    extremes: tuple[Extreme, ...] = ()
    left_out: Mapping[str, str] = field(default_factory=dict)
    narrow: tuple[str, ...] = ()

    @property
    def batches(self) -> tuple[int, ...]:
        """The batch sizes, in the order in which they are run."""
        return tuple(self.inputs)


def prepare(
    reference: Reference,
    examples: Examples,
    batches: Sequence[int],
    names: Sequence[str],
    *,
    stacked: bool = False,
) -> Trial:
    """Draw the inputs, run the reference once a batch, and measure the yardsticks.

    ``stacked``: whether samples depend on themselves alone, so that more of them may be run at once.

    Raises:
        RunFailed: The reference itself cannot run at one of the batch sizes.
        ParityFailure: There is no output, or not as many as there are names.
    """
    inputs = {n: _draw(examples, n, seed=0) for n in batches}
    with reference.runner as runner:
        truth = {n: runner.run(arrays) for n, arrays in inputs.items()}
    _check_count(truth[max(batches)], names)
    sizes = sorted(inputs)
    rounding = Rounding(reference, [inputs[n] for n in sizes], [truth[n] for n in sizes], NUDGES)
    found, left_out = extremes(
        reference,
        extreme_inputs(examples, min(batches)),
        rounding,
        stacked=stacked and all(map(batched, examples.specs)),
    )
    rounded = dict(zip(sizes, rounding.plain, strict=True))
    plain = truth if reference.own.precision == "float64" else rounded
    return Trial(
        names=tuple(names),
        specs=examples.specs,
        inputs=inputs,
        others={n: _draw(examples, n, _NEIGHBOURS_SEED) for n in batches if n > 1},
        truth=truth,
        rounded=rounded,
        dtypes=tuple(array.dtype for array in plain[max(batches)]),
        rounding=rounding,
        reference=reference.runner,
        extremes=found,
        left_out=left_out,
        narrow=_narrow(examples),
    )


def prepare_brief(
    reference: Reference, examples: Examples, batches: Sequence[int], names: Sequence[str]
) -> Trial:
    """As `prepare`, with the reference run on a single sample, where the model's rounding is measured.

    Larger batches are held against the model in its own arithmetic, by that rounding: what is within 8 times of it
    there is within 9 times of the truth. Of the inputs of other sizes there are those that find the most.

    Raises:
        RunFailed: As in `prepare`.
        ParityFailure: As in `prepare`.
    """
    inputs = {n: _draw(examples, n, seed=0) for n in batches}
    least = min(batches)
    with reference.runner as runner:
        right = runner.run(inputs[least])
    with reference.own as own:
        rounded = {n: own.run(arrays) for n, arrays in inputs.items()}
    if reference.rounding is reference.own and isinstance(own, Knowing):
        own.know(inputs[least], rounded[least])
    _check_count(right, names)
    rounding = Rounding(reference, [inputs[least]], [right], NUDGES)
    wanted = extreme_inputs(examples, least)
    few = {name: wanted[name] for name in TELLING if name in wanted}
    found, left_out = extremes(reference, few, rounding)
    return Trial(
        names=tuple(names),
        specs=examples.specs,
        inputs=inputs,
        others={n: _draw(examples, n, _NEIGHBOURS_SEED) for n in batches if n > 1},
        truth={**rounded, least: right},
        rounded=rounded,
        dtypes=tuple(array.dtype for array in rounded[least]),
        rounding=rounding,
        reference=reference.runner,
        extremes=found,
        left_out=left_out,
        narrow=_narrow(examples),
    )


def _narrow(examples: Examples) -> tuple[str, ...]:
    whole = [spec for spec in examples.specs if spec.dtype.startswith("int") and spec.high is None]
    return tuple(spec.name for spec in whole) if examples.data is None else ()


def _draw(examples: Examples, n: int, seed: int) -> Arrays:
    return from_torch(examples.batch(n, seed))


def _check_count(outputs: Arrays, names: Sequence[str]) -> None:
    if not outputs:
        raise ParityFailure("nothing to compare", "the model has no output")
    if len(outputs) != len(names):
        why = f"{len(outputs)} outputs, {len(names)} names ({', '.join(names)})"
        raise ParityFailure("the reference's outputs are not those that were named", why)
