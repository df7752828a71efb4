"""What a step before a value says when there is none."""

from __future__ import annotations

import numpy as np
import pytest
from graph_text import graph

from bnexport.passes.graphs.affine import ChannelAffine
from bnexport.passes.graphs.steps import steps

SCALE = ChannelAffine(1, np.full(4, 2.0), np.zeros(4))
SHIFT = ChannelAffine(1, np.ones(4), np.ones(4))
SUM = "(float[N,1,6] x, float[6] u) => (float[N,C,6] y)"

WIDE = "(float[N,1,6] x, float[4,1] u) => (float[N,C,6] y)"
PARTS = "(float[N,2,6] x, float[N,D,6] u) => (float[N,C,6] y)"


@pytest.mark.parametrize(
    ("text", "affine", "reason"),
    [
        (f"{SUM} {{ y = Add (x, u) }}", SHIFT, "the Add before it broadcasts"),
        (f"{WIDE} {{ y = Mul (x, u) }}", SCALE, "the Mul before it broadcasts"),
        (f"{SUM} {{ y = Mul (x, x) }}", SHIFT, "a shift does not pass the Mul before it"),
        (f"{SUM} {{ y = Max (x, u) }}", SHIFT, "the Max before it broadcasts"),
        (
            f"{PARTS} {{ y = Concat <axis=1> (x, u) }}",
            SHIFT,
            "the sizes of the Concat's parts are not fixed",
        ),
        (f"{SUM} {{ y = Sin (x) }}", SCALE, "Sin comes before it, which is not linear"),
    ],
)
def test_the_reason(text, affine, reason):
    node = graph(text).graph[-1]
    assert steps(node, [(node.outputs[0], affine)]) == reason
