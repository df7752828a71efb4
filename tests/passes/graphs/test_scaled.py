"""Weights that are folded when they are written."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest

from bnexport.passes.graphs.scaled import LEAST, Scaled, ScaledTensor, scaled


def weight(shape, dtype=np.float32) -> ir.Value:
    numbers = np.random.default_rng(0).standard_normal(shape).astype(dtype)
    return ir.val("w", const_value=ir.tensor(numbers, name="w"))


FACTOR = np.random.default_rng(1).uniform(0.5, 2, (64, 1, 1, 1))


def test_a_large_weight_is_rounded_once_when_it_is_read():
    value = weight((64, 64, 3, 3))
    found = scaled(value, FACTOR)
    assert isinstance(found, Scaled)
    tensor = found.tensor("folded")
    wanted = (value.const_value.numpy().astype(np.float64) * FACTOR).astype(np.float32)
    np.testing.assert_array_equal(tensor.numpy(), wanted)
    assert (tensor.name, tensor.shape.numpy(), tensor.dtype) == ("folded", (64, 64, 3, 3), 1)
    np.testing.assert_array_equal(found.numbers(), value.const_value.numpy() * FACTOR)


def test_two_scales_are_rounded_once_too():
    value = weight((64, 64, 3, 3))
    once = ir.val("w", const_value=scaled(value, FACTOR).tensor("w"))
    twice = scaled(once, FACTOR).tensor("w")
    wanted = (value.const_value.numpy().astype(np.float64) * FACTOR**2).astype(np.float32)
    np.testing.assert_array_equal(twice.numpy(), wanted)
    assert isinstance(once.const_value, ScaledTensor)


@pytest.mark.parametrize(
    ("shape", "dtype"), [((8, 2, 3, 3), np.float32), ((64, 64, 3, 3), np.float16)]
)
def test_a_small_or_half_weight_is_folded_at_once(shape, dtype):
    found = scaled(weight(shape, dtype), FACTOR[: shape[0]])
    assert isinstance(found, np.ndarray)
    assert found.dtype == np.float64


def test_its_bound_holds_and_tells_what_is_not_finite():
    value = weight((64, 64, 3, 3))
    found = scaled(value, FACTOR)
    assert found.bound() >= np.abs(found.numbers()).max()
    assert np.isinf(scaled(value, np.full((64, 1, 1, 1), np.inf)).bound())
    assert value.const_value.size >= LEAST


def test_what_is_no_constant_is_refused():
    with pytest.raises(ValueError, match="is not a constant"):
        scaled(ir.val("x"), FACTOR)
