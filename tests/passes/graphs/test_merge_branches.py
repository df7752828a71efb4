"""Branches that look as if they could be merged; what can be is in ``before_after``."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest
from graph_text import graph

from bnexport.passes.graphs import MergeBranches

IMAGE = "(float[N,4,8,8] x) => (float[N,4,8,8] y) "
THREE = IMAGE + (
    "{ p = Conv (x, W)  q = Conv (x, U)  r = Conv (x, V)  s = Add (q, r)  y = Add (p, s) }"
)
POINTS = dict.fromkeys("WUV", (4, 4, 1, 1))


def operators(model: ir.Model) -> list[str]:
    MergeBranches()(model)
    return [node.op_type for node in model.graph]


def test_three_branches_are_one():
    assert operators(graph(THREE, **POINTS)) == ["Conv"]


@pytest.mark.parametrize(
    ("index", "left"),
    [
        (0, ["Conv", "Conv", "Add"]),
        (2, ["Conv", "Conv", "Add"]),
        (3, ["Conv", "Conv", "Conv", "Add", "Add"]),
        (4, ["Conv", "Conv", "Add"]),
    ],
)
def test_an_operator_of_another_domain_is_no_branch(index, left):
    model = graph(THREE, **POINTS)
    model.graph.node(index).domain = "com.example"
    assert operators(model) == left


def test_a_branch_that_is_an_output_stays():
    text = "(float[N,4,8,8] x) => (float[N,4,8,8] y, float[N,4,8,8] q) "
    model = graph(
        text + "{ p = Conv (x, W)  q = Conv (x, U)  y = Add (p, q) }",
        W=(4, 4, 1, 1),
        U=(4, 4, 1, 1),
    )
    assert operators(model) == ["Conv", "Conv", "Add"]


def test_a_sum_that_half_precision_cannot_hold_is_not_made():
    text = IMAGE + "{ p = Conv (x, W)  q = Conv (x, U)  y = Add (p, q) }"
    model = graph(text, "float16", W=(4, 4, 1, 1), U=(4, 4, 1, 1))
    for name in "WU":
        large = ir.tensor(np.full((4, 4, 1, 1), 60000, np.float16))
        model.graph.initializers[name].const_value = large
    assert operators(model) == ["Conv", "Conv", "Add"]


def test_a_branch_outside_the_subgraph_stays():
    text = (
        "(float[N,4,8,8] x, bool c) => (float[N,4,8,8] y) { p = Conv (x, W)  y = If (c) <"
        "then_branch = t () => (float[N,4,8,8] a) { q = Conv (x, U)  a = Add (p, q) },"
        " else_branch = e () => (float[N,4,8,8] b) { b = Identity (x) }> }"
    )
    model = graph(text, W=(4, 4, 1, 1), U=(4, 4, 1, 1))
    assert not MergeBranches()(model).modified
