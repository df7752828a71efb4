"""A bias of zeros goes; any other stays."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest
from graph_text import feeds, graph, run

from bnexport.passes.graphs import DropZeroBias

CONV = "(float[N,4,8,8] x) => (float[N,6,6,6] y) { y = Conv (x, W, c) }"
SHAPES = {"W": (6, 4, 3, 3), "c": (6,)}


def zeroed(text, **shapes):
    model = graph(text, **shapes)
    bias = model.graph.initializers["c"]
    bias.const_value = ir.tensor(np.zeros(shapes["c"], np.float32), name="c")
    return model


@pytest.mark.parametrize(
    ("text", "shapes"),
    [
        (CONV, SHAPES),
        (
            "(float[N,4,8,8] x) => (float[N,6,H,K] y) { y = ConvTranspose (x, W, c) }",
            {"W": (4, 6, 3, 3), "c": (6,)},
        ),
        ("(float[N,5] x) => (float[N,6] y) { y = Gemm (x, W, c) }", {"W": (5, 6), "c": (6,)}),
    ],
    ids=["Conv", "ConvTranspose", "Gemm"],
)
def test_zeros_go(text, shapes):
    before, model = zeroed(text, **shapes), zeroed(text, **shapes)
    assert DropZeroBias()(model).modified
    assert len(model.graph.node(0).inputs) == 2
    x = feeds(before, 2)
    np.testing.assert_array_equal(run(model, x)[0], run(before, x)[0])
    assert not DropZeroBias()(model).modified


def test_another_bias_stays():
    model = graph(CONV, **SHAPES)
    assert not DropZeroBias()(model).modified
    assert len(model.graph.node(0).inputs) == 3
