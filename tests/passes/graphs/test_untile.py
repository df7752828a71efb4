"""A BatchNormalization over batch times channels, as the exporter writes a tracked InstanceNorm."""

from __future__ import annotations

import numpy as np
import pytest
from graph_text import feeds, graph, ops, run

from bnexport.passes.graphs import UntileBatchNorm

FOUR = dict.fromkeys("gbmv", (4,))
ENDS = (
    "z = Constant <value = int64[1] {0}> ()  o = Constant <value = int64[1] {1}> ()"
    "  s = Shape (x)  k = Slice (s, z, o)  "
)
TILES = "  ".join(f"{name}t = Tile ({name}, k)" for name in "gbmv") + "  "
NORM = "n = BatchNormalization (w, gt, bt, mt, vt)  "


def target(name: str, *sizes: int) -> str:
    return f"{name} = Constant <value = int64[{len(sizes)}] {{{', '.join(map(str, sizes))}}}> ()  "


WIDE = target("r", 1, -1, 6) + "w = Reshape (x, r)  "
TRACKED = "(float[N,4,6] x) => (float[N,4,6] y) {" + ENDS + TILES + WIDE + NORM
ONE = "(float[1,4,6] x) => (float[1,4,6] y) {" + ENDS + TILES

LEFT = {
    "something_before": (ONE + "w = Relu (x)  " + NORM + "t = Reshape (n, s)  y = Abs (t) }", FOUR),
    "something_behind": (ONE + WIDE + NORM + "t = Relu (n)  y = Abs (t) }", FOUR),
    "two_readers": (TRACKED + "t = Reshape (n, s)  u = Reshape (n, s)  y = Add (t, u) }", FOUR),
    "an_output": (
        TRACKED.replace("y)", "y, float[A,B,C] n)", 1) + "t = Reshape (n, s)  y = Abs (t) }",
        FOUR,
    ),
    "positions_among_the_channels": (
        TRACKED.replace(WIDE, target("r", 1, -1, 3) + "w = Reshape (x, r)  ").replace(
            TILES, target("i", 2) + "kk = Mul (k, i)  " + TILES.replace(", k)", ", kk)")
        )
        + "t = Reshape (n, s)  y = Abs (t) }",
        FOUR,
    ),
    "another_shape_behind": (
        TRACKED.replace("(float[N,4,6] y)", "(float[A,B] y)", 1)
        + target("e", -1, 24)
        + "t = Reshape (n, e)  y = Abs (t) }",
        FOUR,
    ),
    "sizes_that_are_given": (
        "(float[N,4,W] x, int64[3] r) => (float[A,B,C] y) {"
        + ENDS
        + TILES
        + "w = Reshape (x, r)  "
        + NORM
        + "t = Reshape (n, s)  y = Abs (t) }",
        FOUR,
    ),
    "a_vector_for_two_samples": (
        "(float[2,4,6] x) => (float[2,4,6] y) {" + ENDS + TILES.replace(", k)", ", o)") + WIDE + NORM
        + "t = Reshape (n, s)  y = Abs (t) }",
        dict.fromkeys("gbmv", (8,)),
    ),
    "parameters_that_are_computed": (
        ONE + WIDE + "q = Mul (g, b)  " + NORM.replace("gt", "q") + "t = Reshape (n, s)  y = Abs (t) }",
        FOUR,
    ),
}  # fmt: skip


@pytest.mark.parametrize("signature", ["N,4,6", "2,4,6"])
def test_untiles(signature):
    text = TRACKED.replace("N,4,6", signature) + "t = Reshape (n, s)  y = Abs (t) }"
    before, model = graph(text, **FOUR), graph(text, **FOUR)
    assert UntileBatchNorm()(model).modified
    norm = next(node for node in model.graph if node.op_type == "BatchNormalization")
    assert norm.inputs[0] is model.graph.inputs[0]
    x = feeds(before, 2)
    np.testing.assert_allclose(run(model, x)[0], run(before, x)[0], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", LEFT)
def test_leaves(name):
    text, constants = LEFT[name]
    model = graph(text, **constants)
    before = ops(model)
    assert not UntileBatchNorm()(model).modified
    assert ops(model) == before


@pytest.mark.parametrize("op", ["Tile", "BatchNormalization"])
def test_an_operator_of_another_domain_is_not_known(op):
    model = graph(TRACKED + "t = Reshape (n, s)  y = Abs (t) }", **FOUR)
    next(node for node in model.graph if node.op_type == op).domain = "com.example"
    assert not UntileBatchNorm()(model).modified
