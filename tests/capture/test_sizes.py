"""Sizes that depend on the batch: what can be told of them for every batch, and what ends the recording."""

from __future__ import annotations

import contextlib

import pytest
import torch

from bnexport.capture.tape.sizes import Size, Unsure, alike, doubts, known, size_between

size = Size(1, 0, 8)


def test_arithmetic_holds_at_every_batch():
    for made, at in (
        (size * 4, lambda n: 4 * n),
        (3 * size + 2, lambda n: 3 * n + 2),
        (10 - size, lambda n: 10 - n),
        ((size * 6) // 3, lambda n: 2 * n),
        ((size * 6 + 3) // 3, lambda n: 2 * n + 1),
        (-size, lambda n: -n),
    ):
        assert [made.at(n) for n in (1, 2, 5)] == [at(n) for n in (1, 2, 5)]
    assert size - size == 0
    assert (size * 4) % 2 == 0
    assert (size * 4) // size == 4


@pytest.mark.parametrize("other", [0, -3])
def test_what_holds_for_every_batch_from_1_can_be_asked(other):
    assert size > other
    assert size >= other
    assert not size < other
    assert size != other
    assert bool(size)


@pytest.mark.parametrize(
    "asked",
    [
        lambda n: n > 4,
        lambda n: n == 1,
        lambda n: n >= 2,
        lambda n: int(n),
        lambda n: float(n),
        lambda n: [1, 2, 3][n],
        lambda n: {n: 1},
        str,
        repr,
        lambda n: f"{n}",
        lambda n: list(range(n)),
        lambda n: n // 2,
        lambda n: n % 2,
        lambda n: n * n,
        lambda n: n * 0.5,
        lambda n: n / 2,
        lambda n: n**2,
        round,
    ],
)
def test_what_does_not_ends_the_recording(asked):
    with pytest.raises(Unsure), doubts() as found:
        asked(size)
    assert found


def test_a_doubt_is_remembered_where_the_module_catches_it():
    with doubts() as found, contextlib.suppress(Exception):
        int(size)
    assert found == ["Python code reads the batch size as a number"]


def test_a_size_is_told_by_two_batches():
    assert size_between(7, 7, (1, 8)) == 7
    assert size_between(4, 32, (1, 8)).at(3) == 12
    with pytest.raises(Unsure, match="a size is 5 at batch 2 and 17 at batch 8"):
        size_between(5, 17, (2, 8))


def test_torch_is_given_the_number():
    assert known((size, [size * 2, 3], slice(None, size))) == (8, [16, 3], slice(None, 8))
    assert known(torch.Size([2, 3])) == (2, 3)
    assert known({"size": size}) == {"size": 8}


def test_sizes_are_alike_at_every_batch():
    assert alike((size, 4), (size * 1, 4))
    assert not alike((size, 4), (8, 4))
    assert not alike((size,), (size, 4))
