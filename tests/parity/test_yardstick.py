"""Limits follow the model's own rounding, with a floor and a ceiling."""

from dataclasses import replace

import numpy as np
import pytest

from bnexport.parity.yardstick import CEILING, FLOOR, MULTIPLE, Tally, Yardstick

DRAW = np.random.default_rng(0)
TRUTH = DRAW.standard_normal((8, 100))


def yardstick(own: list[np.ndarray], truth: list[np.ndarray], precision: str) -> Yardstick:
    tally = Tally()
    for a, b in zip(own, truth, strict=True):
        tally.add(a, b)
    return tally.yardstick(precision)


def noisy(level: float) -> Yardstick:
    return yardstick([TRUTH * (1 + level)], [TRUTH], "float32")


def test_the_limit_is_the_stated_multiple_of_the_rounding() -> None:
    limits = noisy(1e-5).limits(TRUTH, "float32")
    assert limits.yardstick == pytest.approx(1e-5)
    assert limits.relative == pytest.approx(MULTIPLE * 1e-5)
    assert limits.peak == pytest.approx(MULTIPLE * 1e-5)


def test_an_exact_model_leaves_the_floor() -> None:
    limits = noisy(0.0).limits(TRUTH, "float32")
    assert limits.relative == pytest.approx(MULTIPLE * FLOOR)
    assert limits.differing == pytest.approx(MULTIPLE * 1e-6)


def test_no_rounding_excuses_more_than_the_ceiling() -> None:
    assert noisy(0.5).limits(TRUTH, "float32").relative == pytest.approx(CEILING)
    assert noisy(1e-4).limits(TRUTH, "bfloat16").relative == pytest.approx(CEILING)


@pytest.mark.parametrize(
    ("precision", "factor"), [("tf32", 2**13), ("float16", 2**13), ("float32", 1)]
)
def test_coarser_arithmetic_gets_a_longer_yardstick(precision: str, factor: int) -> None:
    fine, coarse = (noisy(1e-7).limits(TRUTH, p) for p in ("float32", precision))
    assert coarse.yardstick == pytest.approx(factor * fine.yardstick)
    assert coarse.relative == pytest.approx(factor * fine.relative)


def test_finer_arithmetic_gets_no_shorter_one() -> None:
    half = yardstick([TRUTH * 1.001], [TRUTH], "float16")
    assert half.limits(TRUTH, "float32").relative == pytest.approx(MULTIPLE * 1e-3)


def test_a_sample_next_to_zero_is_judged_in_the_units_of_all() -> None:
    near_zero = np.array([[1e-9]])
    limits = noisy(1e-6).limits(near_zero, "float32")
    scale = np.sqrt(np.mean(TRUTH**2))
    assert limits.relative * 1e-9 == pytest.approx(MULTIPLE * 1e-6 * scale)


def test_elements_that_are_not_finite_are_left_out() -> None:
    own, truth = TRUTH * (1 + 1e-6), TRUTH.copy()
    own[0, 0], truth[1, 1] = np.nan, np.inf
    assert yardstick([own], [truth], "float32").relative == pytest.approx(1e-6)


def test_nothing_but_nan_still_has_limits() -> None:
    nothing = np.full((2, 3), np.nan)
    assert yardstick([nothing], [nothing], "float32").limits(TRUTH, "float32").relative < 1e-5


def test_flips_of_integers_are_counted_over_all_runs() -> None:
    a, b = np.zeros(10, np.int64), np.zeros(10, np.int64)
    flipped = a.copy()
    flipped[3] = 1
    assert yardstick([a, flipped], [b, b], "float32").flips == 0.05


def test_a_capped_yardstick_is_no_longer_than_its_share() -> None:
    assert noisy(1e-2).capped(1e-3).limits(TRUTH, "float32").yardstick == pytest.approx(1e-3)
    assert noisy(1e-6).capped(1e-3) == replace(noisy(1e-6), slices=())
