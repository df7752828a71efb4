"""Pushing back where another reader would have to take up the inverse."""

from __future__ import annotations

import random
import warnings

import numpy as np
import onnx_ir as ir
import pytest
from fuzz import draw, folded
from graph_text import graph

from bnexport.passes.graphs.affine import ChannelAffine
from bnexport.passes.graphs.plan import Plan
from bnexport.passes.graphs.push import _Walk, push

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


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(20))
def test_what_is_foreseen_is_what_would_be_found(seed, monkeypatch):
    """Dense concatenations, and random graphs: with foresight and without it the same BatchNorms fold."""

    def operators() -> list[list[str]]:
        source = random.Random(seed)
        found = []
        for _ in range(8):
            made = draw(source).model()
            if made.graph.output:
                found.append([node.op_type for node in folded(made).graph])
        return [*found, [node.op_type for node in folded(dense(seed)).graph]]

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        foreseen = operators()
        monkeypatch.setattr(_Walk, "foreseen", lambda self, value, asking: "")
        assert operators() == foreseen


def dense(seed: int) -> ir.Model:
    """Each layer reads all before it, through a BatchNorm of its own."""
    drawn, text, weights = np.random.default_rng(seed), [], {}
    features = ["x"]
    for layer in range(4):
        wide = 4 * len(features)
        for name in "sbmv":
            weights[f"{name}{layer}"] = (wide,)
        weights[f"w{layer}"] = (4, wide, 1, 1)
        parts = ", ".join(drawn.permutation(features))
        text.append(f"c{layer} = Concat <axis=1> ({parts})")
        text.append(
            f"n{layer} = BatchNormalization (c{layer}, s{layer}, b{layer}, m{layer}, v{layer})"
        )
        inner = f"r{layer}" if drawn.random() < 0.7 else f"n{layer}"
        text += [f"r{layer} = Relu (n{layer})"] if inner.startswith("r") else []
        text.append(f"f{layer} = Conv ({inner}, w{layer})")
        features.append(f"f{layer}")
    made = graph(
        f"(float[N,4,2,2] x) => (float[N,4,2,2] {features[-1]}) {{ {'  '.join(text)} }}", **weights
    )
    return made
