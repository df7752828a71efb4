"""What one verification works on: inputs, the reference's outputs, and how far rounding goes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bnexport.errors import ParityFailure
from bnexport.inputs import Examples, InputSpec
from bnexport.parity.arrays import Array, Arrays, from_torch
from bnexport.parity.reference import Reference
from bnexport.parity.runner import Runner
from bnexport.parity.yardstick import Yardstick, yardstick

__all__ = ["Trial", "prepare"]

# Below this many elements the largest rounding seen is luck; more samples are drawn, but not
# without end.
_ENOUGH = 32
_EXTRA_DRAWS = 4

_NEIGHBOURS_SEED = 1
_EXTRA_SEED = 2


@dataclass(frozen=True)
class Trial:
    """What every runtime is put through.

    Attributes:
        names: Of the outputs, in order.
        specs: Of the inputs, in order.
        inputs: By batch size.
        others: By batch size: the samples that take the neighbours' places.
        truth: The reference's outputs, by batch size.
        rounded: The outputs of the run that the yardstick was measured with, by batch size.
        dtypes: That the outputs must have.
        yardsticks: One an output.
        reference: What gave ``truth``.
    """

    names: tuple[str, ...]
    specs: tuple[InputSpec, ...]
    inputs: Mapping[int, Arrays]
    others: Mapping[int, Arrays]
    truth: Mapping[int, Arrays]
    rounded: Mapping[int, Arrays]
    dtypes: tuple[np.dtype[Any], ...]
    yardsticks: tuple[Yardstick, ...]
    reference: Runner

    @property
    def batches(self) -> tuple[int, ...]:
        """The batch sizes, in the order in which they are run."""
        return tuple(self.inputs)


def prepare(
    reference: Reference, examples: Examples, batches: Sequence[int], names: Sequence[str]
) -> Trial:
    """Draw the inputs, run the reference once a batch, and measure the yardsticks.

    Raises:
        RunFailed: The reference itself cannot run at one of the batch sizes.
        ParityFailure: There is no output, or not as many as there are names.
    """
    inputs = {n: _draw(examples, n, 0) for n in batches}
    largest = max(batches)
    more = [_draw(examples, largest, _EXTRA_SEED + i) for i in range(_EXTRA_DRAWS)]
    truth, extra_truth = _run(reference.runner, inputs, more, enough=_ENOUGH)
    rounded, extra_rounded = _run(reference.rounding, inputs, more[: len(extra_truth)])
    _check_count(truth[largest], names)
    a, b = [*rounded.values(), *extra_rounded], [*truth.values(), *extra_truth]
    precision = reference.rounding.precision
    own_width = truth if reference.own.precision == "float64" else rounded
    return Trial(
        names=tuple(names),
        specs=examples.specs,
        inputs=inputs,
        others={n: _draw(examples, n, _NEIGHBOURS_SEED) for n in batches if n > 1},
        truth=truth,
        rounded=rounded,
        dtypes=tuple(array.dtype for array in own_width[largest]),
        yardsticks=tuple(
            yardstick([run[i] for run in a], [run[i] for run in b], precision)
            for i in range(len(names))
        ),
        reference=reference.runner,
    )


def _draw(examples: Examples, n: int, seed: int) -> Arrays:
    return from_torch(examples.batch(n, seed))


def _run(
    runner: Runner, inputs: Mapping[int, Arrays], more: Sequence[Arrays], enough: int | None = None
) -> tuple[dict[int, Arrays], list[Arrays]]:
    """The batches' outputs, and those of the extra draws, of which enough may be fewer."""
    extra: list[Arrays] = []
    with runner:
        outputs = {n: runner.run(arrays) for n, arrays in inputs.items()}
        for arrays in more:
            if enough is not None and _fewest([*outputs.values(), *extra]) >= enough:
                break
            extra.append(runner.run(arrays))
    return outputs, extra


def _fewest(runs: Sequence[Arrays]) -> int:
    """The number of elements seen of the output that has the fewest."""
    return min((sum(_size(a) for a in column) for column in zip(*runs, strict=False)), default=0)


def _size(array: Array) -> int:
    return int(array.size)


def _check_count(outputs: Arrays, names: Sequence[str]) -> None:
    if not outputs:
        raise ParityFailure("nothing to compare", "the model has no output")
    if len(outputs) != len(names):
        why = f"{len(outputs)} outputs, {len(names)} names ({', '.join(names)})"
        raise ParityFailure("the reference's outputs are not those that were named", why)
