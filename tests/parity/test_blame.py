"""Of two graphs that differ in an operator, that operator is named, not the one that reads it."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

from bnexport.metadata import MODULE
from bnexport.parity.blame import blamed
from bnexport.parity.graph_side import GraphSide
from bnexport.parity.localise import common_values, first_failing, first_wrong
from bnexport.parity.result import Wrong
from bnexport.parity.runner import FrozenBatch, RunFailed

HEAD = '<ir_version: 10, opset_import: ["" : 18]> net (float[N,3,8,8] x) => (float[N,4] y) '
RIGHT = """{
    a = Conv (x, w)
    b = Relu (a)
    c = Conv (b, v)
    axes = Constant <value_ints=[2, 3]> ()
    y = ReduceMean <keepdims=0> (c, axes)
}"""
LAYERS = {"a": "first", "b": "", "c": "second"}
DRAW = np.random.default_rng(0)
WEIGHTS = {
    "w": DRAW.standard_normal((4, 3, 3, 3)),
    "v": DRAW.standard_normal((4, 4, 3, 3)),
    "half": np.array(0.5),
}
X = (DRAW.standard_normal((2, 3, 8, 8)).astype(np.float32),)


def side(*changes: tuple[str, str], head: str = HEAD) -> GraphSide:
    text = RIGHT
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    model = onnx.parser.parse_model(head + text)
    for name, value in WEIGHTS.items():
        model.graph.initializer.append(onnx.numpy_helper.from_array(np.float32(value), name))
    for node in model.graph.node:
        if layer := LAYERS.get(node.output[0], ""):
            node.metadata_props.add(key=MODULE, value=layer)
    return GraphSide(model)


def found(*changes: tuple[str, str]) -> Wrong | None:
    right, judged = side(), side(*changes)
    names = common_values(right, judged)
    wrong = first_wrong(right, judged, names, X)
    return wrong and blamed(wrong, right, judged, names, X)


def test_a_lost_operator_is_missing():
    wrong = found(("    b = Relu (a)\n", ""), ("(b, v)", "(a, v)"))
    assert (wrong.value, wrong.operator) == ("b", "Relu")
    assert wrong.detail.startswith("it is missing; what reads it, layer 'second', Conv 'c': off by")


def test_another_operator_of_the_same_name_is_told_from_the_right_one():
    wrong = found(("Relu (a)", "LeakyRelu (a)"))
    assert (wrong.value, wrong.operator) == ("b", "LeakyRelu")
    assert wrong.detail.startswith("it should be Relu; what reads it, layer 'second'")


def test_one_that_came_in_is_named_with_the_layer_before_it():
    wrong = found(("(b, v)", "(h, v)"), ("    c =", "    h = Mul (b, half)\n    c ="))
    assert (wrong.value, wrong.operator, wrong.layer) == ("h", "Mul", "first")
    assert wrong.detail.startswith("there should be no such operator; ")


def test_a_wrong_operator_behind_a_harmless_one_is_still_the_wrong_one():
    harmless = ("(b, v)", "(h, v)"), ("    c =", "    h = Identity (b)\n    c =")
    right, judged = side(), side(*harmless)
    judged._constants["v"].CopyFrom(
        onnx.numpy_helper.from_array(np.float32(WEIGHTS["v"] * 1.01), "v")
    )
    names = common_values(right, judged)
    wrong = first_wrong(right, judged, names, X)
    assert blamed(wrong, right, judged, names, X) == wrong
    assert wrong.value == "c"


def test_where_nothing_came_in_the_wrong_one_is_wrong_itself():
    wrong = found(
        ("Conv (x, w)", 'Conv <auto_pad="VALID"> (x, w)'),
        ("Conv (b, v)", "Conv (b, w2)"),
        ("    c =", "    two = Constant <value_float=2.0> ()\n    w2 = Mul (v, two)\n    c ="),
    )
    assert wrong.value == "c"


def test_right_graphs_have_nothing_wrong():
    assert found() is None


def test_the_first_value_that_cannot_be_computed_is_found():
    reshaped = "    s = Constant <value_ints=[1, 4, 6, 6]> ()\n    r = Reshape (b, s)\n    c ="
    broken = side(("(b, v)", "(r, v)"), ("    c =", reshaped))
    wrong = first_failing(broken, X)
    assert (wrong.value, wrong.operator) == ("r", "Reshape")
    assert wrong.detail.startswith("it cannot be run: Reshape: The input tensor cannot be reshaped")
    assert first_failing(side(), X) is None


def test_a_frozen_batch_is_told_apart():
    frozen = side(head=HEAD.replace("[N,3", "[1,3"))
    with pytest.raises(FrozenBatch, match="frozen at export"):
        frozen.value("y", X)
    with pytest.raises(FrozenBatch):
        first_failing(frozen, X)


def test_a_part_that_cannot_be_run_alone_says_so():
    with pytest.raises(RunFailed):
        side().alone("c", {"b": np.zeros((1, 3, 8, 8), np.float32)})
