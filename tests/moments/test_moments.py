"""Streams of values, against two passes over all of them in NumPy's float64."""

import numpy as np
import pytest
import torch

from bnexport.moments import Moments


def stream(sizes=((7, 3, 5, 4), (1, 3, 2, 2), (13, 3, 1, 1), (2, 3, 9, 1)), shift=0.0):
    made = np.random.default_rng(0)
    return [made.standard_normal(size) * [[[0.01]], [[1.0]], [[30.0]]] + shift for size in sizes]


def two_passes(batches):
    values = np.concatenate([each.swapaxes(0, 1).reshape(each.shape[1], -1) for each in batches], 1)
    return values.mean(1), values.var(1), values.var(1, ddof=1)


def of(batches):
    total = Moments.none(3)
    for each in batches:
        total = total + Moments.of(torch.tensor(each))
    return total


@pytest.mark.parametrize("shift", [0.0, -3.0, 1e6])
def test_a_stream_equals_two_passes(shift):
    batches = stream(shift=shift)
    mean, biased, unbiased = two_passes(batches)
    found = of(batches)
    # A mean of a million leaves of a variance of 1e-4 what float64 has of the squares: a two-pass sum has no more.
    precision = 1e-12 if shift < 1e6 else 1e-7
    np.testing.assert_allclose(found.mean[0], mean, rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(found.variance()[0], biased, rtol=precision)
    np.testing.assert_allclose(found.variance(unbiased=True)[0], unbiased, rtol=precision)
    assert found.count.item() == 7 * 20 + 4 + 13 + 18


def test_float32_is_not_summed_in_float32():
    values = torch.full((1, 1, 4096, 64), 1000.0) + torch.arange(64) / 64
    found = Moments.of(values)
    exact = values.double().var(correction=0)
    assert found.variance().item() == pytest.approx(exact.item(), rel=1e-12)


@pytest.mark.parametrize("cut", [1, 2, 3])
def test_parts_make_the_whole(cut):
    batches = stream()
    whole, parts = of(batches), of(batches[:cut]) + of(batches[cut:])
    torch.testing.assert_close(parts.mean, whole.mean, rtol=1e-14, atol=1e-15)
    torch.testing.assert_close(parts.squares, whole.squares, rtol=1e-13, atol=0)
    assert torch.equal(parts.count, whole.count)


def test_nothing_added_changes_no_bit():
    some = of(stream())
    for both in (some + Moments.none(3), Moments.none(3) + some):
        assert torch.equal(both.mean, some.mean)
        assert torch.equal(both.squares, some.squares)


def test_nothing_has_no_variance():
    none = Moments.none(2)
    assert none.mean.tolist() == [[0, 0]]
    assert none.variance().isnan().all()
    one = Moments.of(torch.ones(1, 2))
    assert one.variance().tolist() == [[0, 0]]
    assert one.variance(unbiased=True).isnan().all()


def test_groups_are_apart_and_together_the_whole():
    values = torch.randn(10, 4, 3, generator=torch.Generator().manual_seed(0)) * 5 + 100
    group = torch.arange(10) % 3
    found = Moments.of(values, group, 4)
    for place in range(3):
        alone = Moments.of(values[group == place])
        torch.testing.assert_close(found.mean[place], alone.mean[0], rtol=1e-14, atol=0)
        torch.testing.assert_close(found.squares[place], alone.squares[0], rtol=1e-12, atol=0)
    assert found.count.flatten().tolist() == [12, 9, 9, 0]
    assert found.mean[3].tolist() == [0] * 4
    whole = Moments.of(values)
    torch.testing.assert_close(found.pooled().mean, whole.mean, rtol=1e-14, atol=0)
    torch.testing.assert_close(found.pooled().squares, whole.squares, rtol=1e-12, atol=0)


def test_rank_two():
    values = torch.randn(9, 3, generator=torch.Generator().manual_seed(1))
    found = Moments.of(values)
    expected = values.double().numpy().var(0)
    np.testing.assert_allclose(found.variance()[0], expected, rtol=1e-13)


def test_what_is_given_is_left_as_it_is():
    values = torch.randn(3, 2, 5, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    before = values.clone()
    Moments.of(values)
    assert torch.equal(values, before)


def test_half_precision_and_gradients():
    values = (
        torch.randn(4, 3, 5, generator=torch.Generator().manual_seed(2)).half().requires_grad_()
    )
    found = Moments.of(values)
    assert not found.mean.requires_grad
    expected = values.detach().double().mean((0, 2))
    torch.testing.assert_close(found.mean[0], expected, rtol=1e-14, atol=0)
