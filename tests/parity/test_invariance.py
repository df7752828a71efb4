"""Which samples are compared, and along which axis."""

import numpy as np
import pytest

from bnexport.inputs import InputSpec
from bnexport.parity.invariance import alone, batch_axis, neighbours, pick, replaced, samples_alone

IMAGES = InputSpec("x", (None, 3))
TABLE = InputSpec("table", (4, 3))


@pytest.mark.parametrize(
    ("one", "many", "axis"),
    [
        ((1, 10), (8, 10), 0),
        ((10,), (8, 10), 0),  # squeezed at batch 1
        ((), (8,), 0),
        ((5, 1, 10), (5, 8, 10), 1),
        ((20, 4), (160, 4), 0),  # twenty rows a sample
        ((), (), None),
        ((1, 10), (1, 10), None),
        ((1, 1), (8, 8), None),  # every sample against every other
        ((3, 10), (7, 10), None),
    ],
)
def test_the_batch_axis(one: tuple[int, ...], many: tuple[int, ...], axis: int | None) -> None:
    assert batch_axis(one, many, 8) == axis


def test_a_large_batch_is_sampled_with_both_ends() -> None:
    assert samples_alone(8) == tuple(range(8))
    spread = samples_alone(100)
    assert (len(spread), spread[0], spread[-1]) == (8, 0, 99)


def test_an_input_without_a_batch_axis_goes_along_whole() -> None:
    x, table = np.arange(24.0).reshape(8, 3), np.ones((4, 3))
    picked = pick((x, table), (IMAGES, TABLE), 5)
    np.testing.assert_array_equal(picked[0], x[5:6])
    assert picked[1] is table


def test_neighbours_are_others_and_the_ends_stay() -> None:
    draw = np.random.default_rng(0)
    x, others = draw.standard_normal((2, 8, 3))
    (mixed,) = replaced((x,), (others,), (IMAGES,))
    np.testing.assert_array_equal(mixed[[0, 7]], x[[0, 7]])
    np.testing.assert_array_equal(mixed[1:7], others[1:7])


def test_the_same_samples_give_way_to_copies_of_the_first() -> None:
    x = np.random.default_rng(0).standard_normal((8, 3))
    (mixed,) = replaced((x,), (x.copy(),), (IMAGES,))
    assert all(np.array_equal(row, x[0]) for row in mixed[:7])


def test_places_are_those_in_the_batch() -> None:
    together = np.zeros((160, 4))
    singles = [(np.zeros((20, 4)),) for _ in range(8)]
    (pair,) = alone((together,), singles, range(8), 8)
    assert pair.b.shape == (8, 20, 4)
    assert pair.place((3, 5, 2)) == (65, 2)


def test_outputs_whose_shape_follows_the_values_are_not_compared() -> None:
    a, b = np.zeros((8, 4)), np.zeros((8, 5))
    (pair,) = neighbours((a,), (b,), (0,), 8)
    assert "follows the values" in pair.obstacle
    singles = [(np.zeros((1, 4)),)] * 7 + [(np.zeros((1, 5)),)]
    (pair,) = alone((a,), singles, range(8), 8)
    assert "not compared" in pair.obstacle
