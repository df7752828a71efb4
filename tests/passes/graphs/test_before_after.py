"""Every case of ``before_after``: the graph that comes out, and the same numbers as went in."""

from __future__ import annotations

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from before_after import CASES, IMAGE
from graph_text import HEAD, feeds, graph, run

from bnexport.passes.graphs import pipeline

FOUR = {"W": (4, 4, 3, 3), "g": (4,), "b": (4,), "m": (4,), "v": (4,)}
DEFAULTS = {"pads": {0}, "strides": {1}, "dilations": {1}, "group": {1}}


def written(model: ir.Model) -> list[str]:
    """Each output as one expression: inputs by name, ``_`` for constants, the grid of a convolution."""

    def of(value: ir.Value | None) -> str:
        if value is None or value.name == "":
            return ""
        node = value.producer()
        if node is None:
            return str(value.name) if value.is_graph_input() else "_"
        place = f".{node.outputs.index(value)}" if len(node.outputs) > 1 else ""
        return f"{node.op_type}{place}{grid(node)}({', '.join(map(of, node.inputs))})"

    return [of(value) for value in model.graph.outputs]


def grid(node: ir.Node) -> str:
    if "Conv" not in node.op_type:
        return ""
    stated = {}
    for name, default in DEFAULTS.items():
        value = node.attributes[name].value if name in node.attributes else ()
        values = list(value) if isinstance(value, tuple | list) else [value]
        if set(values) - default:
            stated[name] = values
    return str(stated)


def rewritten(model: ir.Model) -> ir.Model:
    with np.errstate(divide="raise", invalid="raise"):
        for step in pipeline(lambda fate: None, simplify=False):
            model = step(model).model
    return model


def built(name: str) -> ir.Model:
    signature, before, _, constants = CASES[name]
    return graph(f"{signature} {before}", **constants)


@pytest.mark.parametrize("name", CASES)
def test_the_graph_is_as_written(name):
    signature, _, after, _ = CASES[name]
    expected = ir.from_proto(onnx.parser.parse_model(f"{HEAD}{signature} {after}"))
    assert written(rewritten(built(name))) == written(expected)


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("name", CASES)
def test_the_numbers_are_the_same(name, batch):
    before, after = built(name), rewritten(built(name))
    inputs = feeds(before, batch)
    inputs = {key: value for key, value in inputs.items() if key not in before.graph.initializers}
    for expected, got in zip(run(before, inputs), run(after, inputs), strict=True):
        assert got.shape == expected.shape
        np.testing.assert_allclose(got, expected, rtol=2e-4, atol=2e-5 * np.abs(expected).max())


@pytest.mark.parametrize("name", CASES)
def test_a_second_run_finds_nothing_to_do(name):
    once = rewritten(built(name))
    text = written(once)
    steps = pipeline(lambda fate: None, simplify=False)
    changed = [type(step).__name__ for step in steps if step(once).modified]
    assert (changed, written(once)) == ([], text)


def test_new_constants_take_no_name_that_is_taken():
    before = graph(f"{IMAGE} {{ a = Conv (x, W)  y = BatchNormalization (a, g, b, m, v) }}", **FOUR)
    taken = {"g": "a.weight", "b": "a.bias", "m": "y.weight", "v": "y.bias"}
    for old, new in taken.items():
        before.graph.initializers[old].name = new
    after = rewritten(before.clone())
    assert written(after) == ["Conv{}(x, _, _)"]
    inputs = feeds(before, 2)
    np.testing.assert_allclose(run(after, inputs)[0], run(before, inputs)[0], rtol=1e-4, atol=1e-4)
