"""The search keeps what breaks and nothing else, in few trials."""

from __future__ import annotations

import itertools

import pytest

from bnexport.precision.search import Search

NODES = [f"n{i}" for i in range(100)]


def breaking(*bad: str):
    def ratio(lowered: frozenset[str]) -> float:
        return 10.0 if lowered & set(bad) else 0.5

    return ratio


@pytest.mark.parametrize("bad", [(), ("n0",), ("n99",), ("n3", "n57"), tuple(NODES[20:24])])
def test_what_breaks_stays_and_nothing_else(bad):
    search = Search(breaking(*bad), 64)
    search.run(NODES)
    assert set(search.stays) == set(bad)
    assert search.lowered == set(NODES) - set(bad)
    assert search.trials <= 1 + 2 * 7 * len(bad)
    assert all(ratio == 10.0 for ratio in search.stays.values())


def test_errors_that_add_up_leave_a_set_of_which_none_can_be_lowered():
    search = Search(lambda lowered: 0.15 * len(lowered), 200)
    search.run(NODES[:20])
    assert len(search.lowered) == 6
    for name in search.stays:
        assert search.ratio(frozenset(search.lowered | {name})) > 1


def test_pairs_that_break_only_together():
    def ratio(lowered: frozenset[str]) -> float:
        return 2.0 if {"n1", "n90"} <= lowered else 0.1

    search = Search(ratio, 64)
    search.run(NODES)
    assert len(search.stays) == 1
    assert set(search.stays) < {"n1", "n90"}


def test_past_the_last_trial_everything_stays():
    count = itertools.count()
    search = Search(lambda lowered: float(next(count) >= 0) * 5, 10)
    search.run(NODES)
    assert search.trials == 10
    assert set(search.stays) == set(NODES)
    assert None in search.stays.values()
