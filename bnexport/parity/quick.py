"""The quick proof: what a converter's user does by hand, one comparison a batch size with the model as it is.

It finds what is off by more than a thousandth of an output, or by some hundredths of one channel. It does not tell a
smaller error from rounding, nor who is wrong, nor whether samples are independent beyond the first, which is run alone
and in the batch in any case.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from bnexport.inputs import Examples
from bnexport.parity import invariance
from bnexport.parity.arrays import Array, Arrays, from_torch
from bnexport.parity.examine import allowed_width
from bnexport.parity.judge import Subject, Tolerances, failed, judge
from bnexport.parity.reference import Reference
from bnexport.parity.result import Check, Skipped
from bnexport.parity.runner import Fixed, RunFailed, Runner, label
from bnexport.parity.yardstick import MULTIPLE, Tally

__all__ = ["UNASKED", "quickly"]

THOUSANDTH = 1e-3  # of the output, and of its largest number

_QUICK = "the quick proof leaves it out"
UNASKED = (
    Skipped("float64 reference", _QUICK),
    Skipped("inputs of other sizes", _QUICK),
    Skipped("batch invariance", "the quick proof asks it of the first sample alone"),
)
_CAUSE = "something computes over the batch, such as a BatchNorm with batch statistics"


def quickly(
    reference: Reference,
    runners: Sequence[Runner],
    examples: Examples,
    batches: Sequence[int],
    names: Sequence[str],
    tolerances: Tolerances | None,
    done: Callable[[str], None],
    mixes_batch: bool = False,
) -> Iterator[Check]:
    """Every check of the quick proof; the arguments are those of `verify_runners`.

    Raises:
        RunFailed: The model itself cannot run.
    """
    inputs = {n: from_torch(examples.batch(n)) for n in batches}
    with reference.own as own:
        truth = {n: own.run(arrays) for n, arrays in inputs.items()}
    if not mixes_batch:
        yield from _alone(own, truth, names, _Measure(truth))
    done(label(own))
    for runner in runners:
        yield from _judged(runner, inputs, truth, names, tolerances, mixes_batch)
        done(label(runner))


class _Measure:
    """The limits of each output."""

    def __init__(self, truth: dict[int, Arrays]) -> None:
        self._tallies = [Tally() for _ in next(iter(truth.values()))]
        for arrays in truth.values():
            for tally, array in zip(self._tallies, arrays, strict=True):
                tally.add(array, array)

    def judge(
        self, subject: Subject, a: Array, b: Array, i: int, tolerances: Tolerances | None
    ) -> Check:
        yardstick = self._tallies[i].yardstick(subject.precision, THOUSANDTH / MULTIPLE)
        return judge(subject, a, b, yardstick, tolerances)


def _judged(
    runner: Runner,
    inputs: dict[int, Arrays],
    truth: dict[int, Arrays],
    names: Sequence[str],
    tolerances: Tolerances | None,
    mixes_batch: bool,
) -> Iterator[Check]:
    measure, found = _Measure(truth), dict[int, Arrays]()
    fixed = runner.fixed_batch if isinstance(runner, Fixed) else None
    sizes = (fixed,) if fixed in inputs else tuple(inputs)
    n = sizes[0]
    try:
        with runner:
            for n in sizes:
                found[n] = runner.run(inputs[n])
                subject = _subject(runner, n, "agreement", "all outputs")
                if len(found[n]) != len(names):
                    detail = f"{len(found[n])} outputs, the model has {len(names)}"
                    yield failed(subject, detail)
                    return
                for i, name in enumerate(names):
                    each = replace(subject, output=name)
                    dtype, expected = found[n][i].dtype, truth[n][i].dtype
                    if dtype != expected and not allowed_width(runner, dtype):
                        yield failed(each, f"dtype {dtype} against {expected}")
                        continue
                    yield measure.judge(each, found[n][i], truth[n][i], i, tolerances)
    except RunFailed as failure:
        yield failed(_subject(runner, n, "agreement", "all outputs"), str(failure))
        return
    if not mixes_batch:
        yield from _alone(runner, found, names, measure)


def _alone(
    runner: Runner, found: dict[int, Arrays], names: Sequence[str], measure: _Measure
) -> Iterator[Check]:
    """The first sample by itself against itself in each batch: both were run."""
    if 1 not in found:
        return
    for n, together in found.items():
        if n == 1:
            continue
        for pair in invariance.alone(together, [found[1]], [0], n):
            subject = _subject(runner, n, "alone", names[pair.output])
            if pair.fault:
                yield failed(subject, pair.fault)
            if pair.fault or pair.obstacle:
                continue
            check = measure.judge(subject, pair.a, pair.b, pair.output, None)
            detail = (
                "" if check.passed else f"sample 0 by itself is not what it is in a batch: {_CAUSE}"
            )
            yield replace(check, detail=detail or check.detail)


def _subject(runner: Runner, n: int, kind: str, output: str) -> Subject:
    sides = {
        "agreement": (runner.name, "the model"),
        "alone": ("the sample by itself", "the sample in the batch"),
    }[kind]
    return Subject(label(runner), runner.precision, n, kind, output, sides)
