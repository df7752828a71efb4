"""The batch axis is called N wherever it occurs."""

from __future__ import annotations

from graph_text import graph

from bnexport.passes.graphs import NameBatch


def test_the_batch_axis_is_named():
    model = graph("(float[s7,4] x) => (float[s7,4] y) { a = Relu (x)  y = Relu (a) }")
    assert NameBatch()(model).modified
    assert {str(value.shape) for node in model.graph for value in node.outputs} == {"[N,4]"}
    assert not NameBatch()(model).modified


def test_other_free_axes_keep_their_names():
    model = graph("(float[s7,width] x) => (float[s7,width] y) { y = Relu (x) }")
    NameBatch()(model)
    assert str(model.graph.outputs[0].shape) == "[N,width]"


def test_a_fixed_batch_is_left():
    model = graph("(float[2,4] x) => (float[2,4] y) { y = Relu (x) }")
    assert not NameBatch()(model).modified
