"""One unit in the last place, up or down."""

import ml_dtypes
import numpy as np
import pytest

from bnexport.parity.nudge import nudged


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, ml_dtypes.bfloat16])
def test_every_element_moves_to_its_neighbour(dtype: type[np.generic]) -> None:
    x = np.linspace(1.0, 1.9, 50).astype(dtype)
    (moved,) = nudged((x,), 0)
    eps = float(ml_dtypes.finfo(dtype).eps)
    steps = np.unique((moved.astype(np.float64) - x.astype(np.float64)) / eps)
    assert moved.dtype == x.dtype
    assert set(steps) <= {-1.0, -0.5, 1.0}  # below a power of two the steps are half as long
    assert {-1.0, 1.0} <= set(steps)


def test_seeds_differ_and_repeat() -> None:
    x = (np.ones(50, np.float32),)
    assert np.array_equal(nudged(x, 1)[0], nudged(x, 1)[0])
    assert not np.array_equal(nudged(x, 1)[0], nudged(x, 2)[0])


def test_integers_stay() -> None:
    x = np.arange(5)
    assert nudged((x,), 0)[0] is x
