"""Pushing back where another reader would have to take up the inverse."""

from __future__ import annotations

import numpy as np
import pytest
from graph_text import graph

from bnexport.passes.graphs.affine import ChannelAffine
from bnexport.passes.graphs.plan import Plan
from bnexport.passes.graphs.push import push

TWO_READERS = (
    "(float[N,4,8,8] x) => (float[N,C,H,K] y, float[N,D,I,J] z) "
    "{ c = Conv (x, W)  y = Relu (c)  z = Conv (c, W) }"
)


@pytest.mark.parametrize(("scale", "possible"), [(0.5, True), (0.0, False)])
def test_the_inverse_is_taken_up_where_there_is_one(scale, possible):
    model = graph(TWO_READERS, W=(4, 4, 1, 1))
    order = {node: place for place, node in enumerate(model.graph)}
    relu = next(node for node in model.graph if node.op_type == "Relu")
    affine = ChannelAffine(1, np.array([1.0, scale, 2.0, 3.0]), np.zeros(4))
    plan = push(relu, 0, affine, order, undo=True)
    assert isinstance(plan, Plan) == possible
    assert possible or plan == "a scale of 0 cannot be undone for another reader"
    assert isinstance(push(relu, 0, affine, order), str)
