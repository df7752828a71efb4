"""A Conv over copies of one channel, and what only looks like copies."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest
from graph_text import feeds, graph, ops, run

from bnexport.passes.graphs import NarrowConv

GREY = "(float[N,1,8,8] x) => (float[N,C,H,K] y) "
THREE = {"W": (5, 3, 3, 3)}


def shape(name: str, *sizes: int) -> str:
    return f"{name} = Constant <value = int64[{len(sizes)}] {{{', '.join(map(str, sizes))}}}> ()  "


NARROWED = {
    "expand": (shape("s", 1, 3, 1, 1) + "a = Expand (x, s)  y = Conv (a, W)", THREE),
    "tile": (shape("s", 1, 3, 1, 1) + "a = Tile (x, s)  y = Conv (a, W)", THREE),
    "concat": ("a = Concat <axis=1> (x, x, x)  y = Conv (a, W)", THREE),
    "a_scale_for_each": ("a = Mul (x, k)  y = Conv (a, W)", {**THREE, "k": (3, 1, 1)}),
    "normalised": (
        shape("s", 1, 3, 1, 1)
        + "a = Expand (x, s)  n = BatchNormalization (a, g, b, m, v)  y = Conv (n, W)",
        {**THREE, **dict.fromkeys("gbmv", (3,))},
    ),
}

LEFT = {
    "in_groups": (
        GREY,
        shape("s", 1, 4, 1, 1) + "a = Expand (x, s)  y = Conv <group=2> (a, W)",
        {"W": (4, 2, 3, 3)},
    ),
    "a_weight_that_is_given": (
        "(float[N,1,8,8] x, float[5,3,3,3] w) => (float[N,C,H,K] y) ",
        shape("s", 1, 3, 1, 1) + "a = Expand (x, s)  y = Conv (a, w)",
        {},
    ),
    "wider_too": (
        "(float[N,1,8,1] x) => (float[N,C,H,K] y) ",
        shape("s", 1, 3, 1, 8) + "a = Expand (x, s)  y = Conv (a, W)",
        THREE,
    ),
    "tiled_sideways_too": (
        GREY,
        shape("s", 1, 3, 1, 2) + "a = Tile (x, s)  y = Conv (a, W)",
        THREE,
    ),
    "an_axis_more": (
        "(float[1,8,8] x) => (float[N,C,H,K] y) ",
        shape("s", 2, 3, 1, 1) + "a = Expand (x, s)  y = Conv (a, W)",
        THREE,
    ),
    "three_channels_already": (
        "(float[N,3,8,8] x) => (float[N,C,H,K] y) ",
        shape("s", 1, 3, 1, 1) + "a = Expand (x, s)  y = Conv (a, W)",
        THREE,
    ),
    "two_pictures": (
        "(float[N,1,8,8] x, float[N,1,8,8] u) => (float[N,C,H,K] y) ",
        "a = Concat <axis=1> (x, u, x)  y = Conv (a, W)",
        THREE,
    ),
    "a_norm_whose_scale_is_given": (
        "(float[N,1,8,8] x, float[3] g) => (float[N,C,H,K] y) ",
        shape("s", 1, 3, 1, 1)
        + "a = Expand (x, s)  n = BatchNormalization (a, g, b, m, v)  y = Conv (n, W)",
        {**THREE, **dict.fromkeys("bmv", (3,))},
    ),
    "something_between": (
        GREY,
        shape("s", 1, 3, 1, 1) + "a = Expand (x, s)  r = Softmax <axis=1> (a)  y = Conv (r, W)",
        THREE,
    ),
}


@pytest.mark.parametrize("name", NARROWED)
def test_narrows(name):
    text, constants = NARROWED[name]
    before, model = (graph(GREY + "{" + text + "}", **constants) for _ in range(2))
    assert NarrowConv()(model).modified
    conv = model.graph.node(-1)
    assert conv.inputs[0] is model.graph.inputs[0]
    x = feeds(before, 2)
    np.testing.assert_allclose(run(model, x)[0], run(before, x)[0], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", LEFT)
def test_leaves(name):
    signature, text, constants = LEFT[name]
    model = graph(signature + "{" + text + "}", **constants)
    before = ops(model)
    assert not NarrowConv()(model).modified
    assert ops(model) == before


def test_an_operator_of_another_domain_is_not_known():
    text, constants = NARROWED["expand"]
    model = graph(GREY + "{" + text + "}", **constants)
    model.graph.node(-2).domain = "com.example"
    assert not NarrowConv()(model).modified


def test_what_half_precision_cannot_hold_is_left():
    text, constants = NARROWED["concat"]
    model = graph(GREY + "{" + text + "}", "float16", **constants)
    large = ir.tensor(np.full((5, 3, 3, 3), 60000, np.float16))
    model.graph.initializers["W"].const_value = large
    assert not NarrowConv()(model).modified


def test_a_conv_inside_a_subgraph_reads_what_it_read():
    text = (
        "(float[N,1,8,8] x, bool c) => (float[N,5,6,6] y) {"
        + shape("s", 1, 3, 1, 1)
        + "a = Expand (x, s)  y = If (c) <"
        "then_branch = t () => (float[N,5,6,6] p) { p = Conv (a, W) },"
        " else_branch = e () => (float[N,5,6,6] q) { q = Conv (a, U) }> }"
    )
    assert not NarrowConv()(graph(text, W=(5, 3, 3, 3), U=(5, 3, 3, 3))).modified
