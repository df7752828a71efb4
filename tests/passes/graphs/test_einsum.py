"""When an Einsum is a product with a constant that takes an affine up."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest
from graph_text import graph

from bnexport.passes.graphs.affine import ChannelAffine
from bnexport.passes.graphs.einsum import UNKNOWN, absorb, absorb_forward

BOTH = ChannelAffine(1, np.full(4, 2.0), np.ones(4))
SCALE, SHIFT = BOTH.scaling, ChannelAffine(1, np.ones(4), np.ones(4))
FORWARD = {
    "summed_away": ("N,4,5,6", "nchw,co->no", (4, 3)),
    "two_labels_left": ("N,4", "nc,cde->nde", (4, 2, 3)),
}


def einsum(source: str, equation: str, weight: tuple[int, ...]) -> ir.Node:
    result = ",".join("ABCD"[: len(equation.split("->")[-1])])
    text = f"(float[{source}] x) => (float[{result}] y)"
    return graph(f'{text} {{ y = Einsum <equation="{equation}"> (x, W) }}', W=weight).graph.node(0)


def test_the_constant_takes_a_scale():
    node = einsum("N,5,6", "nkl,ok->nol", (4, 5))
    new = absorb(node, BOTH)
    assert isinstance(new, dict)
    weight = node.inputs[1]
    assert weight is not None
    assert weight.const_value is not None
    np.testing.assert_array_equal(new[1], 2 * weight.const_value.numpy().astype(np.float64))


def test_there_is_no_bias_for_a_shift():
    assert "no bias" in str(absorb(einsum("N,5,6", "nkl,ok->nol", (4, 5)), SHIFT))
    assert "no bias" in str(absorb_forward(einsum("N,4", "nc,cd->nd", (4, 3)), 0, SHIFT))


def test_a_shift_comes_out_along_the_label_that_is_left():
    node = einsum("N,4,5,6", "nchw,co->nohw", (4, 3))
    found = absorb_forward(node, 0, BOTH)
    assert isinstance(found, tuple)
    assert found[1] is not None
    axis, shift = found[1]
    weight = node.inputs[1]
    assert weight is not None
    assert weight.const_value is not None
    assert axis == 1
    np.testing.assert_allclose(shift, weight.const_value.numpy().sum(0, np.float64))


@pytest.mark.parametrize("name", FORWARD)
def test_a_shift_that_is_not_one_number_a_channel_stays(name):
    found = absorb_forward(einsum(*FORWARD[name]), 0, BOTH)
    assert isinstance(found, str)
    assert "one number a channel" in found


@pytest.mark.parametrize("name", FORWARD)
def test_a_scale_passes_where_a_shift_does_not(name):
    found = absorb_forward(einsum(*FORWARD[name]), 0, SCALE)
    assert isinstance(found, tuple)
    assert found[1] is None


@pytest.mark.parametrize(
    ("source", "equation", "weight"),
    [("N,4,4", "ncc,cd->nd", (4, 3)), ("N,4", "...c,cd->...d", (4, 3)), ("N,4", "nc,cd", (4, 3))],
)
def test_what_is_no_plain_product(source, equation, weight):
    result = {"ncc,cd->nd": "A,B", "...c,cd->...d": "A,B", "nc,cd": "A,B"}[equation]
    text = f"(float[{source}] x) => (float[{result}] y)"
    body = f'{{ y = Einsum <equation="{equation}"> (x, W) }}'
    node = graph(f"{text} {body}", W=weight).graph.node(0)
    assert absorb_forward(node, 0, SCALE) == UNKNOWN
    assert absorb(node, ChannelAffine(1, np.full(3, 2.0), np.zeros(3))) == UNKNOWN


def test_two_operands_that_are_given():
    text = "(float[N,4] x, float[4,3] w) => (float[N,3] y)"
    node = graph(text + '{ y = Einsum <equation="nc,cd->nd"> (x, w) }').graph.node(0)
    assert absorb(node, SCALE) == absorb_forward(node, 0, SCALE) == UNKNOWN


def test_three_operands():
    text = "(float[N,4] x) => (float[N,3] y)"
    body = '{ y = Einsum <equation="nc,cd,de->ne"> (x, W, V) }'
    node = graph(f"{text} {body}", W=(4, 4), V=(4, 3)).graph.node(0)
    assert absorb(node, ChannelAffine(1, np.full(3, 2.0), np.zeros(3))) == UNKNOWN
