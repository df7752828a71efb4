"""What can be compared is compared; what cannot fails, and says why."""

import numpy as np
import pytest

from bnexport.parity.judge import Subject, Tolerances, failed, judge
from bnexport.parity.yardstick import Tally, Yardstick

SUBJECT = Subject("R 1 (cpu)", "float32", 2, "agreement", "y", ("R", "the reference"))
TRUTH = np.random.default_rng(0).standard_normal((2, 50)).astype(np.float32)


def exact_for(truth: np.ndarray) -> Yardstick:
    tally = Tally()
    tally.add(truth, truth)
    return tally.yardstick("float32")


EXACT = exact_for(TRUTH)


def test_equal_arrays_pass_with_nothing_used_of_the_limit() -> None:
    check = judge(SUBJECT, TRUTH, TRUTH.astype(np.float64), EXACT)
    assert (check.passed, check.ratio, check.detail) == (True, 0.0, "")


def test_a_failure_says_how_far_and_where() -> None:
    wrong = TRUTH.copy()
    wrong[1, 7] += 1.0
    check = judge(SUBJECT, wrong, TRUTH, EXACT)
    assert check.worst == (1, 7)
    assert "times the limit" in check.detail
    assert check.detail.endswith("worst at [1, 7]")


@pytest.mark.parametrize(
    ("a", "b", "detail"),
    [
        (np.ones((2, 3)), np.ones((3, 2)), "batch 2: shape (2, 3) against (3, 2)"),
        (np.ones(2), np.ones(2, np.int64), "dtype float64 against int64"),
        (np.ones(2, bool), np.ones(2, np.int64), "dtype bool against int64"),
        (np.ones((2, 0)), np.ones((2, 0)), "nothing to compare"),
        (np.array([1, np.nan]), np.ones(2), "R has NaN at [1]"),
        (np.ones(2), np.array([1, -np.inf]), "the reference has Inf at [1]"),
        (np.array([np.inf, 1]), np.array([np.inf, 1]), "R and the reference both have Inf at [0]"),
    ],
)
def test_what_cannot_be_compared_fails(a: np.ndarray, b: np.ndarray, detail: str) -> None:
    for tolerances in (None, Tolerances(atol=np.inf)):
        check = judge(SUBJECT, a, b, EXACT, tolerances)
        assert not check.passed
        assert detail in check.detail
        assert check.ratio == np.inf


def test_tolerances_are_element_by_element() -> None:
    a, b = np.array([1.0, 100.0]), np.array([1.1, 101.0])
    assert judge(SUBJECT, a, b, EXACT, Tolerances(atol=0.09, rtol=0.01)).passed
    check = judge(SUBJECT, a, b, EXACT, Tolerances(rtol=0.01))
    assert check.ratio == pytest.approx(0.1 / 0.011)
    assert (check.passed, check.limit) == (False, 1.0)


def test_a_large_map_of_labels_may_flip_where_scores_tie() -> None:
    truth = np.zeros(1_000_000, np.int64)
    exact = exact_for(truth)
    few, many = truth.copy(), truth.copy()
    few[:8], many[:9] = 1, 1
    assert judge(SUBJECT, few, truth, exact).passed
    check = judge(SUBJECT, many, truth, exact)
    assert not check.passed
    assert check.relative == pytest.approx(9e-6)


def test_an_unmeasured_failure_is_infinitely_far() -> None:
    check = failed(SUBJECT, "why")
    assert (check.passed, check.detail, check.max_abs) == (False, "why", np.inf)
