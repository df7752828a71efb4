"""Inputs are put where a file's names want them, or left in their places."""

from __future__ import annotations

import numpy as np
import pytest

from bnexport.parity.runner import RunFailed, placed, run_errors

A, B = np.zeros(1), np.ones(1)


@pytest.mark.parametrize(
    ("names", "found", "order"),
    [
        (["a", "b"], ["b", "a"], [1, 0]),
        (["a", "b"], ["a", "b"], [0, 1]),
        (["a", "b"], ["x", "y"], [0, 1]),
        (["a", "b"], ["b", "c"], [0, 1]),
        ([], ["b", "a"], [0, 1]),
        (["a"], ["b", "a"], [0, 1]),
    ],
)
def test_names_decide_where_they_are_the_same(names, found, order):
    expected = [(A, B)[place] for place in order]
    assert all(a is b for a, b in zip(placed((A, B), names, found), expected, strict=True))


def test_what_a_runtime_says_can_be_shortened():
    with (
        pytest.raises(RunFailed, match=r"it cannot run: short"),
        run_errors("it cannot run", lambda line: line.removeprefix("code 1: ")),
    ):
        raise ValueError("code 1: short.")
