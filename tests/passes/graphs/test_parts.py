"""Parts of the channels: each affine goes into its slice of the weight, and no other reader notices."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest
from graph_text import feeds, graph, ops, run

from bnexport.passes.graphs import FoldBatchNorm, FoldConstants
from bnexport.passes.graphs.parts import concat_parts, cut_axis, picked

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


SLICE = "o = Constant <value = int64[1] {1}> ()  e = Constant <value = int64[1] {3}> ()  "
CUTS = {
    "along_two_axes": (
        "(float[N,4,6] x) => (float[A,B,C] y) { o = Constant <value = int64[2] {1,1}> ()"
        "  e = Constant <value = int64[2] {3,3}> ()  i = Constant <value = int64[2] {1,2}> ()"
        "  y = Slice (x, o, e, i) }"
    ),
    "along_axes_that_are_given": (
        "(float[N,4,6] x, int64[1] i) => (float[A,B,C] y) {" + SLICE + "y = Slice (x, o, e, i) }"
    ),
    "not_at_all": "(float[N,4,6] x) => (float[N,4,6] y) { y = Relu (x) }",
}


@pytest.mark.parametrize("name", CUTS)
def test_what_takes_no_part_along_one_axis(name):
    assert cut_axis(graph(CUTS[name]).graph.node(-1)) is None


def test_a_reduction_takes_no_part():
    node = graph(CUTS["not_at_all"]).graph.node(0)
    node.op_type = "ReduceMean"
    node.attributes["axes"] = ir.AttrInt64s("axes", [1])  # as before opset 18
    assert cut_axis(node) is None


def test_an_operator_of_another_domain_takes_no_known_part():
    model = graph(
        "(float[N,4] x) => (float[N,2] y, float[N,2] z) { y, z = Split <axis=1, num_outputs=2> (x) }"
    )
    assert cut_axis(model.graph.node(0)) == 1
    model.graph.node(0).domain = "com.example"
    assert cut_axis(model.graph.node(0)) is None


@pytest.mark.parametrize(
    "text",
    [
        "(float[N,4] x, int64[2] s) => (float[A,B] y, float[C,D] z) { y, z = Split <axis=1> (x, s) }",
        "(float[N,C] x) => (float[A,B] y) {" + SLICE + "y = Slice (x, o, e, o) }",
        "(float[N,4] x, int64[1] e) => (float[A,B] y)"
        " { o = Constant <value = int64[1] {1}> ()  y = Slice (x, o, e, o) }",
        "(float[N,4] x) => (float[A,B] y) {" + SLICE
        + "b = Constant <value = int64[1] {-1}> ()  y = Slice (x, e, o, o, b) }",
    ],
)  # fmt: skip
def test_parts_that_are_not_known(text):
    node = graph(text).graph.node(-1)
    assert picked(node, node.outputs[0], 1) is None


def test_an_empty_slice_picks_nothing():
    text = "(float[N,4] x) => (float[A,B] y) {" + SLICE + "y = Slice (x, e, o, o) }"
    node = graph(text).graph.node(-1)
    assert picked(node, node.outputs[0], 1) is None


def test_the_parts_of_a_concat():
    text = "(float[N,2,6] x, float[N,3,6] u) => (float[A,B,C] y) { y = Concat <axis=-2> (x, u) }"
    found = concat_parts(graph(text).graph.node(0))
    assert isinstance(found, tuple)
    assert (found[0], [list(part) for part in found[1]]) == (1, [[0, 1], [2, 3, 4]])


def test_the_parts_of_a_concat_that_are_not_known():
    text = "(float[N,2,6] x, float[N,C,6] u) => (float[A,B,C] y) { y = Concat <axis=1> (x, u) }"
    model = graph(text)
    assert "not fixed" in str(concat_parts(model.graph.node(0)))
    model.graph.inputs[1].shape = None
    assert "rank" in str(concat_parts(model.graph.node(0)))


def test_a_reader_that_nobody_reads_sees_nothing():
    text = "(float[N,4,8,8] x) => (float[N,C,H,K] y) { a = Conv (x, W)  " + ENDS
    text += "d = Slice (a, z, o, o)  y = Mul (a, k) }"
    model = graph(text, W=(8, 4, 3, 3), k=(8, 1, 1))
    FoldConstants()(model)
    assert FoldBatchNorm()(model).modified
