"""Parts of the channels: each affine goes into its slice of the weight, and no other reader notices."""

from __future__ import annotations

import numpy as np
import pytest
from graph_text import feeds, graph, ops, run

from bnexport.passes.graphs import FoldBatchNorm, FoldConstants

IMAGE = "(float[N,4,8,8] x) => (float[N,C,H,K] y) { a = Conv (x, W)  "
ENDS = (
    "z = Constant <value = int64[1] {0}> ()  f = Constant <value = int64[1] {4}> ()  "
    "e = Constant <value = int64[1] {8}> ()  o = Constant <value = int64[1] {1}> ()  "
)
BN = {f"{k}{i}": (4,) for k in "gbm" for i in "12"} | {"v1": (4,), "v2": (4,)}
NORM1 = "BatchNormalization (p, g1, b1, m1, v1)  "
NORM2 = "BatchNormalization (q, g2, b2, m2, v2)  "

FOLDS = {
    "split": (
        IMAGE + f"p, q = Split <axis=1, num_outputs=2> (a)  r = {NORM1} s = {NORM2}"
        "t = Sigmoid (r)  y = Concat <axis=1> (t, s) }",
        ["Conv", "Split", "Sigmoid", "Concat"],
    ),
    "one_part_of_a_split": (
        IMAGE + f"p, q = Split <axis=1, num_outputs=2> (a)  r = {NORM1} y = Add (r, q) }}",
        ["Conv", "Split", "Add"],
    ),
    "two_slices": (
        IMAGE + ENDS + f"p = Slice (a, z, f, o)  q = Slice (a, f, e, o)  r = {NORM1} s = {NORM2}"
        "t = Sigmoid (r)  y = Concat <axis=1> (t, s) }",
        ["Conv", "Slice", "Slice", "Sigmoid", "Concat"],
    ),
}
KEEPS = {
    "slices_that_overlap": (
        IMAGE
        + ENDS
        + "w = Constant <value = int64[1] {2}> ()  k = Constant <value = int64[1] {6}> ()  "
        f"p = Slice (a, z, f, o)  q = Slice (a, w, k, o)  r = {NORM1} y = Add (r, q) }}"
    ),
    "the_whole_is_read_too": (
        IMAGE + ENDS + f"p = Slice (a, z, f, o)  r = {NORM1} s = Concat <axis=1> (r, r)"
        "  y = Add (s, a) }"
    ),
}


@pytest.mark.parametrize(("text", "after"), FOLDS.values(), ids=FOLDS)
def test_folds(text, after):
    before, model = graph(text, W=(8, 4, 3, 3), **BN), graph(text, W=(8, 4, 3, 3), **BN)
    assert FoldBatchNorm()(model).modified
    assert ops(model) == after
    x = feeds(before, 3)
    np.testing.assert_allclose(run(model, x)[0], run(before, x)[0], rtol=1e-4, atol=1e-4)
    assert not FoldBatchNorm()(model).modified


@pytest.mark.parametrize("text", KEEPS.values(), ids=KEEPS)
def test_keeps(text):
    model = graph(text, W=(8, 4, 3, 3), **BN)
    assert not FoldBatchNorm()(model).modified
    assert "BatchNormalization" in ops(model)


def test_the_slices_that_an_exporter_writes_for_colons():
    text = (
        IMAGE
        + ENDS
        + "l = Constant <value = int64[1] {9223372036854775807}> ()  u = Slice (a, z, l, z, o)"
        "  w = Slice (a, z, l, z, o)  p = Slice (u, z, f, o)  q = Slice (w, f, l, o)"
        f"  r = {NORM1} y = Add (r, q) }}"
    )
    before, model = graph(text, W=(8, 4, 3, 3), **BN), graph(text, W=(8, 4, 3, 3), **BN)
    FoldConstants()(model)
    FoldBatchNorm()(model)
    assert ops(model) == ["Conv", "Slice", "Slice", "Add"]
    x = feeds(before, 3)
    np.testing.assert_allclose(run(model, x)[0], run(before, x)[0], rtol=1e-4, atol=1e-4)
