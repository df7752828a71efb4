"""The verify station: every runtime held alone against one reference."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence

from bnexport.errors import ParityFailure, UsageError
from bnexport.events import Event, Observer, silent
from bnexport.inputs import Examples
from bnexport.parity import invariance
from bnexport.parity.examine import Examiner
from bnexport.parity.judge import Tolerances
from bnexport.parity.quick import UNASKED, quickly
from bnexport.parity.reference import Reference
from bnexport.parity.result import Parity, Skipped
from bnexport.parity.runner import Knowing, Named, Runner, label
from bnexport.parity.trial import Trial, prepare, prepare_brief
from bnexport.parity.yardstick import MULTIPLE

__all__ = ["verify_runners"]


def verify_runners(
    reference: Reference,
    runners: Sequence[Runner],
    examples: Examples,
    *,
    output_names: Sequence[str],
    batches: Sequence[int] = (1, 8),
    atol: float | None = None,
    rtol: float | None = None,
    observe: Observer = silent,
    skipped: Sequence[Skipped] = (),
    mixes_batch: bool = False,
    proof: str = "thorough",
) -> Parity:
    """Judge every runtime against the reference.

    Args:
        reference: What is right, and the model in its own arithmetic, which is judged too.
        runners: The runtimes; each is entered, run and left before the next.
        examples: Where the batches come from.
        output_names: In the order of the outputs.
        batches: The batch sizes.
        atol: With ``rtol``, replaces the yardstick: |a - b| <= atol + rtol |b| in every element.
        rtol: See ``atol``; one that is not given is zero where the other is.
        observe: Told when a runtime is done.
        skipped: What could not be checked, for the report.
        mixes_batch: Whether the model mixes samples on purpose: they are then not run alone, beside other
            neighbours and in other places, and the result says so.
        proof: ``thorough``; ``full``: with the reference run on one sample, inputs of fewer sizes, and PyTorch's own
            batch invariance looked at where a runtime has none; or ``quick``: agreement at each batch size to a
            thousandth, and no more.

    Raises:
        ParityFailure: There is no runtime or no output to compare.
        UsageError: There is no batch size, or one below 1, or a negative tolerance.
        RunFailed: The reference itself cannot run.
        MissingRuntime: A runtime in ``runners`` is not usable here.
    """
    _refuse_nothing(runners, batches, skipped)
    tolerances = _tolerances(atol, rtol)
    sizes = tuple(dict.fromkeys(batches))
    if not any(invariance.batched(spec) for spec in examples.specs):
        sizes = sizes[:1]
    steps = _Steps(observe, 1 + len(runners) + 1)
    names = [spec.name for spec in examples.specs]
    for each in (reference.runner, reference.own, reference.rounding, *runners):
        if isinstance(each, Named):
            each.take(names)
    if proof == "quick":
        checks = [
            *quickly(
                *(reference, runners, examples, sizes, output_names, tolerances, steps.done),
                mixes_batch,
            )
        ]
        every = (*skipped, *UNASKED)
        return Parity(reference.description, tuple(checks), every, sizes, None, mixes_batch)
    brief = proof == "full" and not mixes_batch and reference.own is not reference.runner
    with reference.runner, reference.own, reference.rounding:
        if brief:
            trial = prepare_brief(reference, examples, sizes, output_names)
        else:
            trial = prepare(reference, examples, sizes, output_names, stacked=not mixes_batch)
        steps.done(reference.description)
        examiner = Examiner(trial, tolerances, not mixes_batch)
        checks = examiner.own_briefly(reference) if brief else examiner.own(reference)
        steps.done(label(reference.own))
    for runner in runners:
        checks += examiner.runtime(runner)
        steps.done(label(runner))
    if brief and any(not check.passed for check in checks):
        # Who is wrong can only be told by asking the model everything, too; and what it gave once it must give again.
        if reference.rounding is reference.own and isinstance(reference.own, Knowing):
            for n, arrays in trial.inputs.items():
                reference.own.know(arrays, trial.rounded[n])
        return verify_runners(
            reference,
            runners,
            examples,
            output_names=output_names,
            batches=batches,
            atol=atol,
            rtol=rtol,
            observe=observe,
            skipped=skipped,
            mixes_batch=mixes_batch,
        )
    unasked = _unasked(trial, mixes_batch)
    multiple = None if tolerances else MULTIPLE
    every = (*skipped, *unasked)
    return Parity(reference.description, tuple(checks), every, sizes, multiple, mixes_batch)


_NARROW = (
    "whole numbers of an unknown range: only 0 and 1 were drawn; give real ones with --inputs-from"
)


class _Steps:
    """Tells the observer how much is done."""

    def __init__(self, observe: Observer, total: int) -> None:
        self._observe, self._total, self._count = observe, total, 0
        self._last = time.perf_counter()

    def done(self, text: str) -> None:
        now = time.perf_counter()
        self._count += 1
        fraction = self._count / self._total
        self._observe(Event("verify", "step", text, now - self._last, fraction))
        self._last = now


def _refuse_nothing(
    runners: Sequence[Runner], batches: Sequence[int], skipped: Sequence[Skipped]
) -> None:
    if not batches:
        raise UsageError("no batch size to verify at", remedy="Give one: --batch 1,8")
    if min(batches) < 1:
        raise UsageError(f"batch size {min(batches)}", "it counts samples, from 1")
    if not runners:
        why = "; ".join(f"{each.runtime}: {each.reason}" for each in skipped)
        remedy = "Install a runtime that runs here: `pip install bnexport[cpu]`"
        raise ParityFailure("nothing to compare", why or "no runtime was given", remedy)


def _tolerances(atol: float | None, rtol: float | None) -> Tolerances | None:
    if atol is None and rtol is None:
        return None
    given = Tolerances(atol or 0.0, rtol or 0.0)
    if not (0.0 <= given.atol < math.inf and 0.0 <= given.rtol < math.inf):
        why = "they must be finite and not negative"
        raise UsageError(f"tolerances {atol}, {rtol}", why, "See --atol, --rtol")
    return given


def _unasked(trial: Trial, mixes_batch: bool) -> tuple[Skipped, ...]:
    """What was left out of the trial, and why batch invariance was not looked at."""
    narrow = (Skipped(f"input {name}", _NARROW) for name in trial.narrow)
    edges = (Skipped(name, reason) for name, reason in trial.left_out.items())
    return (*narrow, *edges, *_invariance(trial, mixes_batch))


def _invariance(trial: Trial, mixes_batch: bool) -> tuple[Skipped, ...]:
    if mixes_batch:
        return (Skipped("batch invariance", "declared: the model mixes samples on purpose"),)
    if any(n > 1 for n in trial.batches):
        return ()
    batched = any(invariance.batched(spec) for spec in trial.specs)
    reason = "only batch 1 was run" if batched else "no input has a batch axis: every size is fixed"
    return (Skipped("batch invariance", reason),)
