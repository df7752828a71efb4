"""What a weight can hold, and plans that meet in one node."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest
from graph_text import graph

from bnexport.passes.graphs.naming import Names
from bnexport.passes.graphs.plan import Plan, absorbed

TEXT = "(float[N,4] x) => (float[N,3] y) { y = Gemm (x, W, c) }"


def gemm(dtype: str) -> ir.Node:
    return graph(TEXT, dtype, W=(4, 3), c=(3,)).graph.node(0)


@pytest.mark.parametrize(
    ("number", "what"), [(1e6, "overflow"), (np.inf, "overflow"), (1e-9, "underflow")]
)
def test_what_a_weight_of_half_precision_cannot_hold(number, what):
    assert what in str(absorbed(gemm("float16"), {1: np.full((4, 3), number)}))


def test_one_column_that_half_precision_cannot_hold():
    weight = np.ones((4, 3))
    weight[:, 1] = 1e-9
    assert "underflow" in str(absorbed(gemm("float16"), {1: weight}))


def test_small_numbers_among_large_ones_are_no_loss():
    weight = np.ones((4, 3))
    weight[0, 0] = 1e-9
    assert isinstance(absorbed(gemm("float16"), {1: weight}), Plan)


def test_a_small_bias_is_no_loss():
    assert isinstance(absorbed(gemm("float16"), {2: np.full(3, 1e-9)}), Plan)


def test_single_precision_may_round_to_zero():
    assert isinstance(absorbed(gemm("float"), {1: np.full((4, 3), 1e-60)}), Plan)
    assert "overflow" in str(absorbed(gemm("float"), {1: np.full((4, 3), 1e60)}))


def test_a_bias_that_comes_to_zero_takes_the_place_of_the_old_one():
    model = graph(TEXT, W=(4, 3), c=(3,))
    plan = absorbed(model.graph.node(0), {2: np.zeros(3)})
    assert isinstance(plan, Plan)
    for edit in plan.edits:
        edit(Names(model.graph))
    bias = model.graph.node(0).inputs[2]
    assert bias is not None
    assert bias.const_value is not None
    assert not bias.const_value.numpy().any()


def test_two_plans_that_change_one_node_are_none():
    node = gemm("float")
    one = absorbed(node, {1: np.ones((4, 3))})
    assert isinstance(one, Plan)
    assert "meet in one Gemm" in str(one.beside(one))
    assert isinstance(one.beside(Plan()), Plan)
