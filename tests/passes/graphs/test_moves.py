"""The reshape rule: each channel of the input must meet one number of the vector."""

from __future__ import annotations

import numpy as np
import pytest
from graph_text import feeds, graph, ops, run

from bnexport.passes.graphs import FoldBatchNorm

# target shape of a (N, 12, 4, 4) value, whether BatchNorm over axis 1 passes the Reshape
TARGETS = {
    "flatten_space": ("-1, 12, 16", 12, True),
    "tile_groups_into_batch": ("-1, 6, 4, 4", 6, True),
    "repeat_channels_into_pixels": ("-1, 3, 4, 4, 4", 3, True),
    "channels_meet_space": ("-1, 24, 2, 4", 24, False),
    "several_channels_in_one": ("-1, 4, 12, 4", 4, True),
    "channels_of_another_period": ("-1, 8, 6, 4", 8, False),
}


@pytest.mark.parametrize(("target", "channels", "passes"), TARGETS.values(), ids=TARGETS)
def test_reshape(target, channels, passes):
    rank = target.count(",") + 1
    text = (
        "(float[3,4,6,6] x) => (float[" + ",".join("ABCDE"[:rank]) + "] y) "
        f"{{ a = Conv (x, W)  s = Constant <value = int64[{rank}] {{{target}}}> ()"
        "  r = Reshape (a, s)  y = BatchNormalization (r, g, b, m, v) }"
    )
    constants = {"W": (12, 4, 3, 3), **dict.fromkeys("gbmv", (channels,))}
    before, model = graph(text, **constants), graph(text, **constants)
    FoldBatchNorm()(model)
    assert ("BatchNormalization" not in ops(model)) == passes
    x = feeds(before, 3)
    np.testing.assert_allclose(run(model, x)[0], run(before, x)[0], rtol=1e-4, atol=1e-4)
