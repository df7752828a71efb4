"""Rows of affines that nothing absorbs, as one operator where that is one fewer and loses nothing."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest
from graph_text import feeds, graph, ops, run

from bnexport.passes.graphs import ComposeAffines

IMAGE = "(float[N,4,6,6] x) => (float[N,C,H,K] y) "
CHANNELS = dict.fromkeys("abc", (4, 1, 1))
ROWS = dict.fromkeys("abc", (6, 1))


def constants(**numbers: float) -> str:
    return " ".join(f"{name} = Constant <value = float {{{n}}}> ()" for name, n in numbers.items())


COMPOSED = {
    "a_scale_and_a_shift": ("p = Mul (x, a)  y = Add (p, b)", CHANNELS, ["BatchNormalization"]),
    "two_scales": ("p = Mul (x, a)  y = Mul (p, b)", CHANNELS, ["Mul"]),
    "two_shifts": ("p = Add (x, a)  y = Sub (p, b)", CHANNELS, ["Add"]),
    "along_another_axis": ("p = Mul (x, a)  q = Add (p, b)  y = Mul (q, c)", ROWS, ["Mul", "Add"]),
    "there_and_back": ("p = Add (x, a)  y = Sub (p, a)", CHANNELS, ["Add"]),
}

LEFT = {
    "one_alone": ("y = Mul (x, a)", CHANNELS),
    "no_fewer": ("p = Mul (x, a)  y = Add (p, b)", ROWS),
    "the_half_of_a_gelu": (
        constants(o=1.0, h=0.5) + " e = Erf (x)  s = Add (e, o)  p = Mul (x, s)  q = Mul (p, h)"
        "  y = Mul (q, a)",
        CHANNELS,
    ),
    "along_two_axes": ("p = Mul (x, a)  y = Mul (p, r)", {**CHANNELS, "r": (6, 1)}),
    "a_value_that_others_read": ("p = Mul (x, a)  q = Mul (p, b)  y = Add (q, p)", CHANNELS),
    "a_mean_far_away": (
        constants(m=1000, s=2, t=3) + " p = Sub (x, m)  q = Mul (p, s)  y = Add (q, t)",
        {},
    ),
}


@pytest.mark.parametrize("name", COMPOSED)
def test_composes(name):
    text, shapes, after = COMPOSED[name]
    before, model = (graph(IMAGE + "{" + text + "}", **shapes) for _ in range(2))
    assert ComposeAffines()(model).modified
    assert ops(model) == after
    x = feeds(before, 2)
    np.testing.assert_allclose(run(model, x)[0], run(before, x)[0], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", LEFT)
def test_leaves(name):
    text, shapes = LEFT[name]
    model = graph(IMAGE + "{" + text + "}", **shapes)
    before = ops(model)
    assert not ComposeAffines()(model).modified
    assert ops(model) == before


def test_what_half_precision_cannot_hold_is_left():
    text = IMAGE + "{ p = Mul (x, a)  y = Mul (p, b) }"
    model = graph(text, "float16", a=(1,), b=(1,))
    for name in ("a", "b"):
        model.graph.initializers[name].const_value = ir.tensor(np.array([300], np.float16))
    assert not ComposeAffines()(model).modified
