"""Distances, against numbers worked out by hand."""

import ml_dtypes
import numpy as np
import pytest

from bnexport.parity.measure import distance


def test_the_measures() -> None:
    gap = distance(np.array([[3.0, 4.0], [0.0, 1.0]]), np.array([[3.0, 4.0], [0.0, 0.0]]))
    assert (gap.max_abs, gap.relative, gap.peak, gap.worst, gap.differing) == (
        1.0,
        pytest.approx(1 / 5),
        pytest.approx(1 / 4),
        (1, 1),
        0.25,
    )


def test_against_zeros_the_measures_are_absolute() -> None:
    gap = distance(np.full((2, 8), 0.5), np.zeros((2, 8)))
    assert (gap.relative, gap.peak) == (pytest.approx(0.5), 0.5)


def test_small_integers_do_not_wrap_around() -> None:
    gap = distance(np.array([255], np.uint8), np.array([0], np.uint8))
    assert gap.max_abs == 255.0
    assert distance(np.array([0], np.uint8), np.array([255], np.uint8)).max_abs == 255.0


def test_booleans_and_bfloat16_are_measured() -> None:
    assert distance(np.array([True, False]), np.array([True, True])).differing == 0.5
    half = np.array([1.0, 2.0], ml_dtypes.bfloat16)
    assert distance(half, np.array([1.0, 2.5])).max_abs == 0.5


def test_a_number_has_a_place() -> None:
    assert distance(np.array(1.0), np.array(2.0)).worst == ()
