"""Whether a sample's output depends on that sample alone: batch statistics that survived show here.

Three questions, since parity cannot ask them (a runtime that averages over the batch agrees with a
model that does): ``alone``: is a sample's output by itself what it is in a batch; ``neighbours``:
does it stay when the others change; ``moved``: does it stay when the sample takes another place.
An output without a batch axis may not follow the samples at all.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from bnexport.inputs import InputSpec
from bnexport.parity.arrays import Array, Arrays

__all__ = [
    "Pair",
    "alone",
    "batch_axis",
    "batched",
    "kept_samples",
    "moved",
    "neighbours",
    "pick",
    "replaced",
    "rolled",
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
        axis: The output's batch axis; None: it has none, and must be the same whatever the samples are.
        obstacle: Why they cannot be compared; ``a`` and ``b`` are then empty.
        fault: Why nobody could use them as they are; the same.
    """

    output: int
    a: Array
    b: Array
    samples: tuple[int, ...] = ()
    axis: int | None = 0
    obstacle: str = ""
    fault: str = ""

    def place(self, worst: tuple[int, ...]) -> tuple[int, ...]:
        """An index into ``b`` as an index into the batch's output."""
        which, *within = worst
        if self.axis is None:
            return tuple(within)
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


def rolled(inputs: Arrays, specs: Sequence[InputSpec]) -> Arrays:
    """The batch with every sample one place further on, the last one first."""
    return tuple(
        np.roll(array, 1, axis=0) if batched(spec) else array
        for array, spec in zip(inputs, specs, strict=True)
    )


def alone(
    together: Arrays, singles: Sequence[Arrays], samples: Sequence[int], n: int
) -> Iterator[Pair]:
    """Every output of the single runs against the same samples of the batch's."""
    for index, whole in enumerate(together):
        apart = [outputs[index] for outputs in singles]
        shape = apart[0].shape
        axis = batch_axis(shape, whole.shape, n)
        shapes = f"{shape} at batch 1, {whole.shape} at batch {n}"
        if any(each.shape != shape for each in apart):
            yield _unpaired(index, f"no batch axis ({shapes}): not compared")
        elif len(shape) < len(whole.shape) and axis is not None:
            yield replace(_unpaired(index), fault=f"a batch of one loses its axis ({shapes})")
        elif axis is None and shape == whole.shape:
            both = np.stack(apart), np.stack([whole] * len(apart))
            yield Pair(index, *both, tuple(samples), None)
        elif axis is None:
            yield _unpaired(index, f"no batch axis ({shapes}): not compared")
        else:
            parts = np.stack([_part(whole, axis, n, sample) for sample in samples])
            yield Pair(index, np.stack(apart).reshape(parts.shape), parts, tuple(samples), axis)


def neighbours(
    others: Arrays, together: Arrays, axes: Sequence[int | None], n: int
) -> Iterator[Pair]:
    """The kept samples' outputs beside other neighbours against those in the batch as it was."""
    kept = kept_samples(n)
    return _pairs(others, together, axes, n, [(sample, sample) for sample in kept])


def moved(after: Arrays, together: Arrays, axes: Sequence[int | None], n: int) -> Iterator[Pair]:
    """The samples' outputs one place further on against those in the batch as it was."""
    return _pairs(after, together, axes, n, [(sample, (sample + 1) % n) for sample in range(n)])


def _pairs(
    new: Arrays,
    together: Arrays,
    axes: Sequence[int | None],
    n: int,
    places: Sequence[tuple[int, int]],
) -> Iterator[Pair]:
    """``places``: where a sample lay, and where it lies now."""
    samples = tuple(old for old, _ in places)
    for index, (a, b, axis) in enumerate(zip(new, together, axes, strict=True)):
        if a.shape != b.shape:
            yield _unpaired(
                index, f"the shape follows the values ({a.shape}, {b.shape}): not compared"
            )
        elif axis is None:
            yield Pair(index, a[None], b[None], samples[:1], None)
        else:
            before = np.stack([_part(b, axis, n, old) for old, _ in places])
            after = np.stack([_part(a, axis, n, now) for _, now in places])
            yield Pair(index, after, before, samples, axis)


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


def _unpaired(index: int, obstacle: str = "") -> Pair:
    nothing = np.empty(0)
    return Pair(index, nothing, nothing, obstacle=obstacle)
