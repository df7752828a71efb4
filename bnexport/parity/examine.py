"""Put one runtime through a trial: agreement at each batch size, then batch invariance."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Protocol, runtime_checkable

import numpy as np

from bnexport.parity import invariance
from bnexport.parity.arrays import Array, Arrays
from bnexport.parity.batch_axis import Mixing
from bnexport.parity.extremes import LARGE, Extreme
from bnexport.parity.invariance import Pair
from bnexport.parity.judge import Subject, Tolerances, failed, judge
from bnexport.parity.origin import Traceable, finite
from bnexport.parity.reference import Reference
from bnexport.parity.result import Check
from bnexport.parity.rounding import Rounding
from bnexport.parity.runner import Fixed, RunFailed, Runner, label
from bnexport.parity.trial import Trial
from bnexport.parity.yardstick import roundoff

__all__ = ["Examiner", "allowed_width"]

# Rounding that takes a hundredth of the output is worth a sentence, whoever agrees with it.
_FAR = 1e-2
_EVERY = "all outputs"
_REDUCED = ("float16", "bfloat16")
# A model that draws random numbers has them in its yardstick too: no more than this is rounding.
_REPEATS_WITHIN = 1e-3
_RANDOM = "the model draws random numbers, such as a Dropout that is live in eval mode"
_SHOWN = 3
_CAUSE = "something computes over the batch, such as a BatchNorm with batch statistics"


class Examiner:
    """Judges runtimes on one trial.

    Args:
        trial: The inputs and what the reference makes of them.
        tolerances: In place of the yardstick.
        check_invariance: Whether samples are also run alone and beside other neighbours.
    """

    def __init__(
        self, trial: Trial, tolerances: Tolerances | None, check_invariance: bool = True
    ) -> None:
        self._trial, self._tolerances = trial, tolerances
        self._check_invariance = check_invariance
        self._alone: tuple[Arrays, Arrays] | None = None  # a batch of one, and what came of it

    def runtime(self, runner: Runner) -> list[Check]:
        """Every check of one runtime; one that cannot open or run the model fails."""
        batches = self._batches(runner)
        checks: list[Check] = []
        self._alone = None
        try:
            with runner:
                for n in batches:
                    checks += self._batch(runner, n)
                # Tolerances are given for the usual inputs, and their outputs' size.
                judged = self._tolerances is None and min(self._trial.batches) in batches
                for extreme in self._trial.extremes if judged else ():
                    checks += self._extreme(runner, extreme)
        except RunFailed as failure:
            checks.append(failed(_subject(runner, batches[0], "agreement", _EVERY), str(failure)))
        return self._named(runner, checks)

    def _batches(self, runner: Runner) -> tuple[int, ...]:
        """Those that it was built for, where that is a choice."""
        fixed = runner.fixed_batch if isinstance(runner, Fixed) else None
        return (fixed,) if fixed in self._trial.batches else self._trial.batches

    def own(self, reference: Reference) -> list[Check]:
        """The model in its own arithmetic: it agrees by definition.

        Unless it gives NaN, or other outputs each time. Where it is the reference itself, only the
        batch can tell something of it.
        """
        checks: list[Check] = []
        runner, trial = reference.own, self._trial
        self._alone = None
        with runner:
            checks += self._repeat(runner, reference.rounding is runner)
            for n in trial.batches:
                outputs = (
                    trial.rounded[n]
                    if reference.rounding is runner
                    else runner.run(trial.inputs[n])
                )
                self._keep_alone(n, outputs)
                agreement = [self._forgive(check) for check in self._agreement(runner, n, outputs)]
                if runner is not reference.runner:
                    checks += agreement
                checks += self._invariance(runner, n, outputs, agreement)
        return self._named(runner, checks)

    def own_briefly(self, reference: Reference) -> list[Check]:
        """What the runs that there have been tell of the model: its rounding, and the first sample in each batch."""
        runner, trial = reference.own, self._trial
        least, checks = min(trial.batches), list[Check]()
        for n in trial.batches:
            outputs = trial.rounded[n]
            self._keep_alone(n, outputs)
            agreement = [self._forgive(check) for check in self._agreement(runner, n, outputs)]
            if n == least and runner is not reference.runner:
                checks += agreement
            measured = {i for i, check in enumerate(agreement) if is_measured(check)}
            if n > 1 and self._check_invariance and self._alone is not None:
                for pair in invariance.alone(outputs, [self._alone[1]], [0], n):
                    if pair.output in measured:
                        checks.append(self._moved(runner, n, "alone", pair))
        return self._named(runner, checks)

    def _named(self, runner: Runner, checks: list[Check]) -> list[Check]:
        """With the operators that mix samples, where the runner can read them off its file.

        As the cause of what moved; where nothing did, as a failure of its own.
        """
        if not self._check_invariance or not isinstance(runner, Readable):
            return checks
        mixers = _mixers(runner)
        if not mixers:
            return checks
        text = "; ".join(map(str, mixers[:_SHOWN]))
        text += f"; and {len(mixers) - _SHOWN} more" if len(mixers) > _SHOWN else ""
        moved = [check for check in checks if not check.passed and check.detail.endswith(_CAUSE)]
        if moved:
            return [_because(check, text) if check in moved else check for check in checks]
        subject = _subject(runner, self._trial.batches[-1], "graph", _EVERY)
        return [*checks, failed(subject, text)]

    def _batch(self, runner: Runner, n: int) -> list[Check]:
        checks: list[Check] = []
        try:
            outputs = runner.run(self._trial.inputs[n])
            self._keep_alone(n, outputs)
            checks = self._agreement(runner, n, outputs)
            return checks + self._invariance(runner, n, outputs, checks)
        except RunFailed as failure:
            kind = "alone" if checks else "agreement"
            return [*checks, failed(_subject(runner, n, kind, _EVERY), f"batch {n}: {failure}")]

    def _extreme(self, runner: Runner, extreme: Extreme) -> Iterator[Check]:
        """Agreement on inputs of another kind."""
        if extreme.name == LARGE and runner.precision in _REDUCED:
            return  # half precision ends at 65,504
        n = min(self._trial.batches)
        subject = replace(_subject(runner, n, "agreement", _EVERY), inputs=extreme.name)
        try:
            outputs = runner.run(extreme.inputs)
        except RunFailed as failure:
            yield failed(subject, str(failure))
            return
        if len(outputs) != len(self._trial.names):
            return  # which was told of the usual inputs
        for i, (name, output) in enumerate(zip(self._trial.names, outputs, strict=True)):
            subject = replace(subject, output=name)
            near = extreme.near(i) if _is_fine(runner, extreme.reference) else None
            if near is not None and extreme.own is not None:
                check = judge(subject, output, extreme.own[i], near)
                if check.passed:
                    yield check
                    continue
            check = self._judged(subject, output, extreme.truth[i], i, extreme.rounding)
            off = not check.passed and is_measured(check)
            if off and extreme.rounding.of(runner.precision)[i].vague:
                continue  # of a tie, say, which rounding decides
            yield check

    def _agreement(self, runner: Runner, n: int, outputs: Arrays) -> list[Check]:
        names, truth = self._trial.names, self._trial.truth[n]
        if len(outputs) != len(names):
            detail = f"{len(outputs)} outputs, the reference has {len(names)} ({', '.join(names)})"
            return [failed(_subject(runner, n, "agreement", _EVERY), detail)]
        checks = []
        for i, name in enumerate(names):
            subject = _subject(runner, n, "agreement", name)
            expected = self._trial.dtypes[i]
            check = self._judged(subject, outputs[i], truth[i], i)
            if outputs[i].dtype != expected and not allowed_width(runner, outputs[i].dtype):
                check = failed(subject, f"dtype {outputs[i].dtype} against {expected}")
            checks.append(check)
        return self._traced(runner, n, outputs, checks)

    def _judged(
        self,
        subject: Subject,
        a: Array,
        b: Array,
        output: int,
        rounding: Rounding | None = None,
        *,
        given: bool = True,
    ) -> Check:
        """By the shortest yardstick first: what passes by it needs no longer one, and no runs to measure that.

        ``given``: whether tolerances that were given take the yardstick's place.
        """
        rounding = rounding or self._trial.rounding
        tolerances = self._tolerances if given else None
        shortest = rounding.least(subject.precision)
        if shortest is not None:
            check = judge(subject, a, b, shortest[output], tolerances)
            if check.passed or tolerances is not None:
                return check
        return judge(subject, a, b, rounding.of(subject.precision)[output], tolerances)

    def _traced(self, runner: Runner, n: int, outputs: Arrays, checks: list[Check]) -> list[Check]:
        """Add to each failure over a number that is not finite where that number starts."""
        truth = self._trial.truth[n]
        ours = {i for i, array in enumerate(outputs) if not finite(array)}
        theirs = {i for i, array in enumerate(truth) if not finite(array)} - ours
        found = list(checks)
        for side, who in ((ours, runner), (theirs, self._trial.reference)):
            if (
                side
                and isinstance(who, Traceable)
                and (origin := _origin(who, self._trial.inputs[n]))
            ):
                for i in side:
                    detail = f"{checks[i].detail}; it is first seen in {origin}"
                    found[i] = replace(checks[i], detail=detail)
        return found

    def _forgive(self, check: Check) -> Check:
        far = is_measured(check) and check.relative > _FAR
        detail = (
            f"{check.precision} alone puts this output {check.relative:.1e} from the reference: "
            "no runtime can be judged closely"
            if far
            else ""
        )
        return replace(check, passed=True, detail=detail) if is_measured(check) else check

    def _repeat(self, runner: Runner, known: bool) -> Iterator[Check]:
        """Two runs of the same input: to rounding, since sums may be ordered by how memory lies."""
        n, trial = self._trial.batches[0], self._trial
        first = trial.rounded[n] if known else runner.run(trial.inputs[n])
        second = runner.run(trial.inputs[n])
        for i, (name, a, b) in enumerate(zip(trial.names, first, second, strict=True)):
            if np.array_equal(a, b):
                continue
            subject = _subject(runner, n, "agreement", name)
            yardstick = trial.rounding.of(runner.precision)[i]
            check = judge(subject, b, a, yardstick.capped(_REPEATS_WITHIN))
            # What is not finite fails on its own account.
            if not check.passed and (is_measured(check) or a.shape != b.shape):
                yield failed(subject, f"two runs of the same input differ: {_RANDOM}")

    def _invariance(
        self, runner: Runner, n: int, together: Arrays, agreement: list[Check]
    ) -> list[Check]:
        """Of the outputs that could be measured: what is broken already needs no second failure."""
        if n == 1 or not self._check_invariance or len(agreement) != len(self._trial.names):
            return []
        measured = {i for i, check in enumerate(agreement) if is_measured(check)}
        pairs = [*self._pairs(runner, n, together)]
        return [self._moved(runner, n, kind, p) for kind, p in pairs if p.output in measured]

    def _pairs(self, runner: Runner, n: int, together: Arrays) -> Iterator[tuple[str, Pair]]:
        trial = self._trial
        inputs, specs = trial.inputs[n], trial.specs
        samples = invariance.samples_alone(n)
        singles = [self._single(runner, invariance.pick(inputs, specs, s)) for s in samples]
        for pair in invariance.alone(together, singles, samples, n):
            yield "alone", pair
        axes = [
            invariance.batch_axis(one.shape, many.shape, n)
            for one, many in zip(singles[0], together, strict=True)
        ]
        others = runner.run(invariance.replaced(inputs, trial.others[n], specs))
        for pair in invariance.neighbours(others, together, axes, n):
            yield "neighbours", pair
        after = runner.run(invariance.rolled(inputs, specs))
        for pair in invariance.moved(after, together, axes, n):
            yield "moved", pair

    def _keep_alone(self, n: int, outputs: Arrays) -> None:
        if n == 1:
            self._alone = self._trial.inputs[n], outputs

    def _single(self, runner: Runner, inputs: Arrays) -> Arrays:
        """What the runner makes of one sample; the batch of one that was run is the first of the others."""
        if self._alone is not None and all(map(np.array_equal, inputs, self._alone[0])):
            return self._alone[1]
        return runner.run(inputs)

    def _moved(self, runner: Runner, n: int, kind: str, pair: Pair) -> Check:
        subject = _subject(runner, n, kind, self._trial.names[pair.output])
        if pair.fault:
            return failed(subject, pair.fault)
        if pair.obstacle:
            return _not_compared(subject, pair.obstacle)
        check = self._judged(subject, pair.a, pair.b, pair.output, given=False)
        if not is_measured(check):
            return check
        if not check.passed and self._tolerances is not None:
            # Tolerances below a runtime's own rounding say nothing of the batch; those above it do.
            yardstick = self._trial.rounding.of(runner.precision)[pair.output]
            check = judge(subject, pair.a, pair.b, yardstick, self._tolerances)
        detail = "" if check.passed else _sentence(kind, n, pair, check)
        return replace(check, worst=pair.place(check.worst), detail=detail)


@runtime_checkable
class Readable(Protocol):
    """A runner whose graph can be read."""

    def mixing(self) -> list[Mixing]:
        """The operators that are seen to mix samples."""
        ...


def _mixers(runner: Readable) -> list[Mixing]:
    """None where the file cannot even be read: that failure was told."""
    try:
        return runner.mixing()
    except RunFailed:
        return []


def _because(check: Check, cause: str) -> Check:
    return replace(check, detail=check.detail.removesuffix(_CAUSE) + cause)


def _origin(runner: Traceable, inputs: Arrays) -> str:
    """Empty where the search itself cannot run: the failure stands without it."""
    try:
        return runner.origin(inputs)
    except RunFailed:
        return ""


def _is_fine(runner: Runner, reference: Reference) -> bool:
    """Whether the runtime rounds no more coarsely than the model."""
    return roundoff(runner.precision) <= roundoff(reference.rounding.precision)


def is_measured(check: Check) -> bool:
    """Whether there were two arrays to subtract."""
    return math.isfinite(check.max_abs)


def _subject(runner: Runner, n: int, kind: str, output: str) -> Subject:
    sides = {
        "agreement": (runner.name, "the reference"),
        "alone": ("the sample by itself", "the sample in the batch"),
        "neighbours": ("the sample beside other neighbours", "the sample in the batch"),
        "graph": ("", ""),
        "moved": ("the sample in another place", "the sample in the batch"),
    }[kind]
    return Subject(label(runner), runner.precision, n, kind, output, sides)


def _sentence(kind: str, n: int, pair: Pair, check: Check) -> str:
    sample = pair.samples[check.worst[0]]
    off = f"{check.relative:.1e} of the output, {check.ratio:.3g} times what rounding explains"
    if pair.axis is None:
        return f"the output has no batch axis and follows the samples (off by {off}): {_CAUSE}"
    if kind == "alone":
        return f"sample {sample} by itself is {off}, from itself in a batch of {n}: {_CAUSE}"
    change = "the other samples were replaced" if kind == "neighbours" else "its place was changed"
    return f"sample {sample} moved by {off}, when {change}: {_CAUSE}"


def _not_compared(subject: Subject, detail: str) -> Check:
    return replace(
        failed(subject, detail), passed=True, max_abs=0.0, relative=0.0, peak=0.0, ratio=0.0
    )


def allowed_width(runner: Runner, dtype: np.dtype[np.generic]) -> bool:
    """A runtime of reduced precision may also give its outputs in it."""
    return runner.precision in _REDUCED and dtype.name in (*_REDUCED, "float32")
