"""Whether a sample's output depends on that sample alone: batch statistics that survived show here.

Two questions, since parity cannot ask them (a runtime that averages over the batch agrees with a
model that does): ``alone``: is a sample's output by itself what it is in a batch; ``neighbours``:
does it stay when the others change.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from bnexport.inputs import InputSpec
from bnexport.parity.arrays import Array, Arrays

__all__ = [
    "Pair",
    "alone",
    "batch_axis",
    "batched",
    "kept_samples",
    "neighbours",
    "pick",
    "replaced",
    "samples_alone",
]

# A batch of 8 is run one by one whole; of a larger one these many, the first and the last among
# them.
ALONE_AT_MOST = 8


@dataclass(frozen=True)
class Pair:
    """One output of the same samples, run two ways.

    Attributes:
        output: Its index.
        a: Run alone, or beside other neighbours.
        b: Run in the batch.
        samples: Which samples they are.
        axis: The output's batch axis.
        obstacle: Why they cannot be compared; ``a`` and ``b`` are then empty.
    """

    output: int
    a: Array
    b: Array
    samples: tuple[int, ...] = ()
    axis: int = 0
    obstacle: str = ""

    def place(self, worst: tuple[int, ...]) -> tuple[int, ...]:
        """An index into ``b`` as an index into the batch's output."""
        which, *within = worst
        within[self.axis] += self.samples[which] * self.b.shape[1 + self.axis]
        return tuple(within)


def samples_alone(n: int) -> tuple[int, ...]:
    """Which samples of a batch are run by themselves."""
    spread = np.linspace(0, n - 1, min(n, ALONE_AT_MOST))
    return tuple(int(i) for i in spread.round())


def pick(inputs: Arrays, specs: Sequence[InputSpec], sample: int) -> Arrays:
    """One sample of a batch, as a batch of one; an input without a batch axis as it is."""
    return tuple(
        array[sample : sample + 1] if batched(spec) else array
        for array, spec in zip(inputs, specs, strict=True)
    )


def kept_samples(n: int) -> tuple[int, ...]:
    """The samples that stay beside new neighbours: the first and the last; of two, the first."""
    return (0, n - 1) if n > 2 else (0,)


def replaced(inputs: Arrays, others: Arrays, specs: Sequence[InputSpec]) -> Arrays:
    """The batch with all but the kept samples taken from ``others``.

    Where ``others`` holds the same samples (few real ones were given), copies of the first sample
    take their place: a statistic over the batch still moves, and the values stay ones that the
    model understands.
    """
    return tuple(
        _replace(array, other) if batched(spec) else array
        for array, other, spec in zip(inputs, others, specs, strict=True)
    )


def batched(spec: InputSpec) -> bool:
    """Whether the input has a batch axis."""
    return None in spec.shape


def alone(
    together: Arrays, singles: Sequence[Arrays], samples: Sequence[int], n: int
) -> Iterator[Pair]:
    """Every output of the single runs against the same samples of the batch's."""
    for index, whole in enumerate(together):
        apart = [outputs[index] for outputs in singles]
        axis = batch_axis(apart[0].shape, whole.shape, n)
        if axis is None or any(each.shape != apart[0].shape for each in apart):
            shapes = f"{apart[0].shape} at batch 1, {whole.shape} at batch {n}"
            yield _unpaired(index, f"no batch axis ({shapes}): not compared")
            continue
        parts = np.stack([_part(whole, axis, n, sample) for sample in samples])
        yield Pair(index, np.stack(apart).reshape(parts.shape), parts, tuple(samples), axis)


def neighbours(
    moved: Arrays, together: Arrays, axes: Sequence[int | None], n: int
) -> Iterator[Pair]:
    """The kept samples' outputs beside other neighbours against those in the batch as it was."""
    kept = kept_samples(n)
    for index, (a, b, axis) in enumerate(zip(moved, together, axes, strict=True)):
        if axis is None:
            yield _unpaired(index, "no batch axis: not compared")
        elif a.shape != b.shape:
            yield _unpaired(
                index, f"the shape follows the values ({a.shape}, {b.shape}): not compared"
            )
        else:
            parts = [[_part(whole, axis, n, sample) for sample in kept] for whole in (a, b)]
            yield Pair(index, np.stack(parts[0]), np.stack(parts[1]), kept, axis)


def batch_axis(one: tuple[int, ...], many: tuple[int, ...], n: int) -> int | None:
    """The one axis that differs, where it is ``n`` times as long in a batch of ``n``.

    Not always the first: recurrent networks put time there. A model that squeezes drops the axis
    at batch 1.
    """
    if many[:1] == (n,) and one == many[1:]:
        return 0
    if len(one) != len(many):
        return None
    axes = [axis for axis, (few, lots) in enumerate(zip(one, many, strict=True)) if few != lots]
    return axes[0] if len(axes) == 1 and many[axes[0]] == n * one[axes[0]] else None


def _part(whole: Array, axis: int, n: int, sample: int) -> Array:
    length = whole.shape[axis] // n
    return np.take(whole, range(sample * length, (sample + 1) * length), axis)


def _replace(array: Array, other: Array) -> Array:
    kept = kept_samples(len(array))
    result = other.copy()
    for sample in range(len(array)):
        if sample in kept:
            result[sample] = array[sample]
        elif np.array_equal(result[sample], array[sample]):
            result[sample] = array[0]
    return result


def _unpaired(index: int, obstacle: str) -> Pair:
    nothing = np.empty(0)
    return Pair(index, nothing, nothing, obstacle=obstacle)
