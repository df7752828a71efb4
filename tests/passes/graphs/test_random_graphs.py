"""Random graphs, folded: the same numbers, the same interface, valid ONNX, and nothing left for a second run."""

from __future__ import annotations

import random
import warnings

import onnx
import pytest
from fuzz import draw, folded, wrong
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st

GRAPHS = 2000


@pytest.mark.slow
@settings(
    max_examples=GRAPHS,
    derandomize=True,
    deadline=None,
    suppress_health_check=[
        HealthCheck.too_slow,
        HealthCheck.large_base_example,
        HealthCheck.data_too_large,
    ],
)
@given(st.randoms(use_true_random=False))
def test_a_random_graph_stays_right(source: random.Random) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # the evaluator's sigmoid overflows
        sketch = draw(source)
        before = sketch.model()
        if not before.graph.output:
            return
        note(onnx.printer.to_text(before))
        assert wrong(sketch, before, folded(before)) == ""
