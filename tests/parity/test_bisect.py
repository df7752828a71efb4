"""The first bad value of a graph is found, by few looks."""

from __future__ import annotations

import math
import random

import onnx
import pytest

from bnexport.parity.bisect import first_bad
from bnexport.parity.graph_side import GraphSide


def graph(nodes: list[tuple[str, list[str]]]) -> GraphSide:
    made = [onnx.helper.make_node("Sum", inputs, [name]) for name, inputs in nodes]
    x, last = (onnx.helper.make_empty_tensor_value_info(name) for name in ("x", nodes[-1][0]))
    return GraphSide(onnx.helper.make_model(onnx.helper.make_graph(made, "g", [x], [last])))


def search(side: GraphSide, culprit: str) -> tuple[str, int]:
    """Bad is what is made of ``culprit``."""
    bad: set[str] = {culprit}
    for name in side.makers:
        if side.sources(name) & bad:
            bad.add(name)
    looked: list[str] = []

    def good(name: str) -> bool:
        looked.append(name)
        return name not in bad

    (output,) = side.outputs
    return first_bad(side, list(side.makers), output, good), len(looked)


@pytest.mark.parametrize("culprit", [0, 1, 63, 98, 99])
def test_a_chain_takes_the_logarithm_of_its_length(culprit):
    names = [f"v{i}" for i in range(100)]
    side = graph([(name, [("x", *names)[i]]) for i, name in enumerate(names)])
    found, looks = search(side, f"v{culprit}")
    assert found == f"v{culprit}"
    assert looks <= math.ceil(math.log2(100)) + 1


@pytest.mark.parametrize("seed", range(20))
def test_any_value_of_a_random_graph_that_reaches_the_output_is_found(seed):
    draw = random.Random(seed)
    names = [f"v{i}" for i in range(30)]
    before = [["x", *names[:i]] for i in range(30)]
    side = graph([(n, draw.sample(b, min(len(b), 2))) for n, b in zip(names, before, strict=True)])
    reaching = {"v29"}
    for name in reversed(names):
        if name in reaching:
            reaching |= side.sources(name)
    for culprit in reaching:
        assert search(side, culprit)[0] == culprit


def test_what_cannot_be_looked_at_is_passed_over():
    side = graph([("a", ["x"]), ("b", ["a"]), ("c", ["b"])])
    assert first_bad(side, ["a", "c"], "c", lambda name: name == "a") == "c"
    assert first_bad(side, ["a", "c"], "c", lambda name: False) == "a"
