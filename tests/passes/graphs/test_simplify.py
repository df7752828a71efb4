"""Simplify: dead ends and no-ops go, weights and results stay."""

from __future__ import annotations

import numpy as np
import onnxsim
import pytest
from graph_text import feeds, graph, ops, run

from bnexport.passes.graphs import Simplify, module_of

BROADCAST = "(float[N,1,9,9] x) => (float[N,8,H,K] y) { a = Mul (x, s)  y = Conv (a, W, c) }"
WEIGHTS = {"s": (1, 3, 1, 1), "W": (8, 3, 3, 3), "c": (8,)}


def test_no_ops_go_and_origins_stay():
    text = (
        "(float[N,4] x) => (float[N,4] y) { a = Cast <to=1> (x)  b = Identity (a)  y = Relu (b) }"
    )
    model = graph(text)
    model.graph.node(2).metadata_props["bnexport.module"] = "act"
    after = Simplify()(model).model
    assert ops(after) == ["Relu"]
    assert module_of(after.graph.node(0)) == "act"


def test_a_factor_that_broadcasts_stays():
    before, model = graph(BROADCAST, **WEIGHTS), graph(BROADCAST, **WEIGHTS)
    after = Simplify()(model).model
    x = feeds(before, 2)
    np.testing.assert_array_equal(run(after, x)[0], run(before, x)[0])


def test_what_rewrites_weights_is_not_taken(monkeypatch: pytest.MonkeyPatch):
    simplify = onnxsim.simplify
    monkeypatch.setattr(onnxsim, "simplify", lambda proto, **options: simplify(proto))
    model = graph(BROADCAST, **WEIGHTS)
    result = Simplify()(model)
    assert not result.modified
    assert ops(result.model) == ["Mul", "Conv"]


def test_zeros_padded_before_a_max_pool_stay_zeros():
    text = (
        "(float[N,2,4,4] x) => (float[N,2,H,K] y) "
        "{ p = Constant <value = int64[8] {0,0,1,1,0,0,1,1}> ()  a = Pad (x, p)"
        "  y = MaxPool <kernel_shape=[2,2]> (a) }"
    )
    before = graph(text)
    x = {name: -np.abs(array) for name, array in feeds(before, 2).items()}
    np.testing.assert_array_equal(run(Simplify()(graph(text)).model, x)[0], run(before, x)[0])
