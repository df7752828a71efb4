"""Tensors survive the way to numpy and back."""

import pytest
import torch

from bnexport.parity.arrays import from_torch, is_floating, to_torch

DTYPES = [torch.bfloat16, torch.float16, torch.float64, torch.int64, torch.bool, torch.complex64]


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_round_trip(dtype: torch.dtype) -> None:
    tensor = torch.randn(3, 4).to(dtype)
    array = from_torch([tensor])[0]
    assert torch.equal(to_torch(array), tensor)
    assert is_floating(array) == (dtype.is_floating_point or dtype.is_complex)


def test_memory_is_not_shared() -> None:
    tensor = torch.randn(3)
    array = from_torch([tensor])[0]
    back = to_torch(array)
    array[0] = 100.0
    assert tensor[0] != 100.0
    assert back[0] != 100.0


def test_views_and_gradients_are_no_obstacle() -> None:
    tensor = torch.randn(3, 4, requires_grad=True).T
    assert from_torch([tensor])[0].shape == (4, 3)
