"""Held against NumPy, and against the binomial distribution counted out in whole numbers."""

import math

import numpy as np
import pytest

from bnexport.bench.statistics import interval, latency, quantile, ratio


def times(n, seed=0):
    return np.random.default_rng(seed).lognormal(0.0, 0.4, n).tolist()


def test_the_summary_is_numpys():
    drawn = times(250)
    found = latency(drawn)
    assert found.runs == 250
    assert found.median == np.median(drawn)
    assert found.mean == pytest.approx(np.mean(drawn))
    assert (found.least, found.most) == (min(drawn), max(drawn))
    assert (found.p95, found.p99) == (np.quantile(drawn, 0.95), np.quantile(drawn, 0.99))


@pytest.mark.parametrize(("share", "fewest"), [(0.95, 20), (0.99, 100)])
def test_a_quantile_wants_a_run_above_it(share, fewest):
    assert quantile(times(fewest - 1), share) is None
    assert quantile(times(fewest), share) is not None


@pytest.mark.parametrize("n", [6, 7, 20, 101, 1000])
def test_the_interval_is_the_narrowest_that_holds_the_median_with_95_percent(n):
    drawn = times(n)
    low, high = interval(drawn)
    ordered = sorted(drawn)
    below = ordered.index(low)  # so many numbers lie below the interval, and as many above
    assert ordered[n - 1 - below] == high

    def missed(count):
        return 2 * sum(math.comb(n, k) for k in range(count + 1)) / 2**n

    assert missed(below) <= 0.05 < missed(below + 1)


def test_of_five_numbers_there_is_no_interval():
    assert interval(times(5)) is None


def test_an_interval_of_many_numbers():
    # 2 ** -5000 is no float.
    low, high = interval(times(5000))
    assert low < 1.0 < high
    assert high - low < 0.1


def test_the_interval_holds_the_median_as_often_as_it_says():
    held = [low <= 1.0 <= high for low, high in (interval(times(31, n)) for n in range(400))]
    # 95.7 % by the binomial distribution; four standard deviations of 400 draws are 4 %.
    assert 0.917 < np.mean(held) < 0.998


def test_a_ratio_is_told_round_by_round():
    # The machine is ten times as slow in every other round, which the ratio does not see.
    drift = [1.0, 10.0] * 5
    found = ratio([[2 * d] for d in drift], [[d] for d in drift])
    assert (found.rounds, found.median, found.low, found.high) == (10, 2.0, 2.0, 2.0)


def test_a_rounds_own_runs_are_pooled_by_their_median():
    assert ratio([[1.0, 3.0, 100.0]], [[1.0, 1.5, 1.6]]).median == 2.0


def test_few_rounds_have_a_ratio_without_an_interval():
    found = ratio([[1.0]] * 3, [[2.0]] * 3)
    assert (found.median, found.low, found.high) == (0.5, None, None)


def test_rounds_that_do_not_pair_are_a_fault():
    with pytest.raises(ValueError, match="argument 2 is shorter"):
        ratio([[1.0], [1.0]], [[1.0]])
