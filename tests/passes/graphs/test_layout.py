"""Reshapes of which the sizes are not known, or are zero."""

from __future__ import annotations

import numpy as np
import pytest
from graph_text import graph

from bnexport.passes.graphs.affine import ChannelAffine
from bnexport.passes.graphs.moves import BACK

AFFINE = ChannelAffine(1, np.full(4, 2.0), np.ones(4))


@pytest.mark.parametrize(
    "text",
    [
        "(float[2,4,W] x, int64[2] s) => (float[8,W] y) { y = Reshape (x, s) }",
        "(float[2,4,W] x, int64[3] s) => (float[2,4,W] y) { y = Reshape (x, s) }",
        "(float[2,4,6] x, int64[3] s) => (float[A,4,B] y) { y = Reshape (x, s) }",
        "(float[2,4,W] x, int64[3] s) => (float[2,4,6] y) { y = Reshape (x, s) }",
        "(float[2,4,0] x, int64[3] s) => (float[2,0,4] y) { y = Reshape (x, s) }",
        "(float[2,0,6] x, int64[3] s) => (float[2,6,0] y) { y = Reshape (x, s) }",
    ],
)
def test_it_mixes_channels_as_far_as_is_known(text):
    node = graph(text).graph[-1]
    assert isinstance(BACK["Reshape"](node, AFFINE), str)
