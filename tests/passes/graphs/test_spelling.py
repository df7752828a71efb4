"""Einsum in lower case: the same numbers, and labels never merge."""

from __future__ import annotations

import string

import numpy as np
import pytest
from graph_text import feeds, graph, run

from bnexport.passes.graphs import LowerCaseEinsum
from bnexport.passes.graphs.spelling import _lowered


@pytest.mark.parametrize(
    ("equation", "spelt"),
    [
        ("BCHW,BDHW->BCD", "bchw,bdhw->bcd"),
        ("bchw,bdhw->bcd", "bchw,bdhw->bcd"),
        ("bB->Bb", "ba->ab"),
        ("...C,CD->...D", "...c,cd->...d"),
        ("Ab,bA", "Ab,bA"),  # the result's order is that of the letters
        (f"{string.ascii_lowercase}A->A", f"{string.ascii_lowercase}A->A"),
        ("aAB->Ba", "acb->ba"),
    ],
)
def test_labels(equation, spelt):
    assert _lowered(equation) == spelt
    assert len(set(equation)) == len(set(spelt))


def test_the_numbers_are_the_same():
    text = '(float[N,4,3] x) => (float[N,5,3] y) {{ y = Einsum <equation="{}"> (x, W) }}'
    model, exact = (graph(text.format("Nck,oc->Nok"), W=(5, 4)) for _ in range(2))
    assert LowerCaseEinsum()(model).modified
    assert not LowerCaseEinsum()(model).modified
    inputs = feeds(exact, 2)
    np.testing.assert_array_equal(run(model, inputs)[0], run(exact, inputs)[0])
