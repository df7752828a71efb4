"""The reference runs once a batch; the rounding is pooled over more than one run."""

from __future__ import annotations

import numpy as np
import pytest

from bnexport.errors import ParityFailure
from bnexport.inputs import Examples, InputSpec
from bnexport.parity import Arrays, Reference, extremes
from bnexport.parity.trial import prepare
from bnexport.parity.yardstick import NUDGES

EXAMPLES = Examples((InputSpec("x", (None, 5)),))


class Counted:
    name, version, device, precision = "Counted", "1", "cpu", "float32"

    def __init__(self, error: float = 0.0, lucky: int = 0) -> None:
        self.batches: list[int] = []
        self._error, self._lucky = error, lucky

    def __enter__(self) -> Counted:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def run(self, inputs: Arrays) -> Arrays:
        self.batches.append(len(inputs[0]))
        lucky = len(self.batches) <= self._lucky
        return (inputs[0] * np.float32(1 if lucky else 1 + self._error),)


def test_the_reference_runs_once_a_batch() -> None:
    truth, own = Counted(), Counted()
    trial = prepare(Reference(truth, own, own, ""), EXAMPLES, (1, 8), ["y"])
    # Of edges the truth is only asked for by a runtime that is not near the model itself.
    assert truth.batches == [1, 8] + [1] * len(extremes.SEEDS)
    assert own.batches == [1, 8] + [1] * len(trial.extremes)
    assert trial.batches == (1, 8)


def test_nudged_runs_are_made_when_the_yardstick_is_asked_for() -> None:
    truth, own = Counted(), Counted()
    trial = prepare(Reference(truth, own, own, ""), EXAMPLES, (1, 8), ["y"])
    before = len(own.batches)
    assert trial.rounding.least("float32") is not None
    assert len(own.batches) == before
    trial.rounding.of("float32")
    assert own.batches[before:] == [8] * NUDGES


def test_one_lucky_run_does_not_set_the_yardstick() -> None:
    truth, own = Counted(), Counted(error=1e-4, lucky=1)
    trial = prepare(Reference(truth, own, own, ""), EXAMPLES, (8,), ["y"])
    assert trial.rounding.of("float32")[0].relative == pytest.approx(
        1e-4 * (4 / 5) ** 0.5, rel=1e-2
    )


def test_a_reference_that_rounds_itself_is_measured_on_nudged_inputs_alone() -> None:
    runner = Counted()
    trial = prepare(Reference(runner, runner, runner, ""), EXAMPLES, (8,), ["y"])
    assert runner.batches == [8] * (1 + len(trial.extremes))
    assert trial.rounding.of("float32")[0].relative == pytest.approx(2**-23.5, rel=0.5)


def test_smaller_batches_begin_like_larger_ones() -> None:
    truth = Counted()
    trial = prepare(Reference(truth, truth, truth, ""), EXAMPLES, (1, 8), ["y"])
    np.testing.assert_array_equal(trial.inputs[1][0], trial.inputs[8][0][:1])
    assert not np.array_equal(trial.others[8][0], trial.inputs[8][0])


@pytest.mark.parametrize("names", [[], ["y", "z"]])
def test_names_must_match_the_outputs(names: list[str]) -> None:
    truth = Counted()
    with pytest.raises(ParityFailure, match="1 outputs"):
        prepare(Reference(truth, truth, truth, ""), EXAMPLES, (1,), names)
