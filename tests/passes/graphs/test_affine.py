"""What is read as a per-channel affine, and what only looks like one."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest
from graph_text import graph

from bnexport.passes.graphs.affine import ChannelAffine, can_undo, elementwise, is_steady, read

FOUR = dict.fromkeys(("g", "b", "m", "v"), (4,))
BN = "(float[N,4,8,8] x) => (float[N,4,8,8] y) { y = BatchNormalization (x, g, b, m, v) }"
INTEGERS = "(int64[N,4] x) => (int64[N,4] y) "
NUMBERS = "(float[N,4] x) => (float[N,4] y) "


def batch_norm(**numbers: float) -> ir.Node:
    """One whose named parameters hold that number throughout."""
    model = graph(BN, **FOUR)
    for name, number in numbers.items():
        tensor = ir.tensor(np.full(4, number, np.float32), name=name)
        model.graph.initializers[name].const_value = tensor
    return model.graph.node(0)


def elementwise_node(op: str, constant: float, *, first: bool = False) -> ir.Node:
    sides = "c, x" if first else "x, c"
    text = NUMBERS + f"{{ c = Constant <value = float[4] {{1.0, 2.0, 3.0, {constant}}}> ()"
    return graph(f"{text}  y = {op} ({sides}) }}").graph.node(-1)


def test_an_operator_of_another_domain_is_not_read():
    node = batch_norm()
    node.domain = "com.example"
    assert read(node) is None
    node = elementwise_node("Mul", 4.0)
    node.domain = "com.example"
    assert elementwise(node) is None


def test_only_arithmetic_is_elementwise():
    assert elementwise(batch_norm()) is None


def test_a_constant_of_higher_rank_is_not_read():
    text = "(float[6] x) => (float[K,L] y) { y = Add (x, k) }"
    assert elementwise(graph(text, k=(1, 6)).graph.node(0)) is None


@pytest.mark.parametrize("shape", [(4, 8, 8), (8, 1), (4, 1, 8)])
def test_a_constant_that_widens_another_axis_too_is_not_read(shape):
    text = "(float[N,1,8,8] x) => (float[N,C,H,K] y) { y = Add (x, k) }"
    assert elementwise(graph(text, k=shape).graph.node(0), widens=1) is None


def test_a_constant_that_widens_the_channels():
    text = "(float[N,1,8,8] x) => (float[N,C,H,K] y) { y = Add (x, k) }"
    found = elementwise(graph(text, k=(4, 1, 1)).graph.node(0), widens=1)
    assert found is not None
    assert (found[1].axis, found[1].shift.shape) == (1, (4,))


def test_integers_are_not_read():
    model = graph(INTEGERS + "{ c = Constant <value = int64[4] {1, 2, 3, 4}> ()  y = Mul (x, c) }")
    assert read(model.graph.node(-1)) is None
    assert elementwise(model.graph.node(-1)) is None
    assert read(graph(INTEGERS + "{ y = Neg (x) }").graph.node(0)) is None


def test_a_negation_is_read():
    found = read(graph(NUMBERS + "{ y = Neg (x) }").graph.node(0))
    assert isinstance(found, tuple)
    assert (found[1].axis, *found[1].scale, *found[1].shift) == (None, -1, 0)


def test_the_epsilon_that_is_left_out_is_the_standards():
    found = read(batch_norm(g=1, b=0, m=0, v=0))
    assert isinstance(found, tuple)
    np.testing.assert_allclose(found[1].scale, 1e-5**-0.5, rtol=1e-6)


def test_a_batch_norm_that_trains_is_not_read():
    node = batch_norm()
    node.attributes["training_mode"] = ir.AttrInt64("training_mode", 1)
    assert "training mode" in str(read(node))


def test_a_parameter_that_is_computed_is_not_read():
    text = "(float[N,4] x, float[4] g) => (float[N,4] y) { y = BatchNormalization (x, g, b, m, v) }"
    model = graph(text, b=(4,), m=(4,), v=(4,))
    assert read(model.graph.node(0)) == "a parameter is not constant"


@pytest.mark.parametrize("numbers", [{"v": -1}, {"v": np.nan}, {"g": np.inf}, {"b": np.inf}])
def test_statistics_that_are_not_finite_are_not_read(numbers):
    assert "not finite" in str(read(batch_norm(**numbers)))


@pytest.mark.parametrize(
    ("op", "first", "scale", "shift"),
    [
        ("Mul", False, 4, 0),
        ("Mul", True, 4, 0),
        ("Div", False, 0.25, 0),
        ("Add", False, 1, 4),
        ("Add", True, 1, 4),
        ("Sub", False, 1, -4),
        ("Sub", True, -1, 4),
    ],
)
def test_a_constant_on_either_side(op, first, scale, shift):
    found = elementwise(elementwise_node(op, 4.0, first=first))
    assert found is not None
    index, affine = found
    assert (index, affine.axis) == (int(first), 1)
    assert (affine.scale[3], affine.shift[3]) == (scale, shift)


@pytest.mark.parametrize(("op", "number", "first"), [("Div", 0.0, False), ("Div", 4.0, True)])
def test_a_division_that_is_no_affine(op, number, first):
    assert elementwise(elementwise_node(op, number, first=first)) is None


@pytest.mark.parametrize("op", ["Mul", "Add"])
def test_a_constant_that_is_not_finite_is_not_read(op):
    node = elementwise_node(op, 4.0)
    constant = node.inputs[1]
    assert constant is not None
    constant.const_value = ir.tensor(np.array([1, 2, 3, np.inf], np.float32))
    assert elementwise(node) is None


def test_two_constants_are_left_to_others():
    text = NUMBERS + "{ s = Add (c, d)  y = Mul (x, s) }"
    assert elementwise(graph(text, c=(4,), d=(4,)).graph.node(0)) is None


def test_a_mean_far_from_zero_is_not_steady():
    ones = ChannelAffine(1, np.ones(4), np.full(4, -20.0))
    assert is_steady(batch_norm(g=1, b=0, m=15, v=1), ones)
    assert not is_steady(batch_norm(g=1, b=0, m=20, v=1), ones)


def test_a_constant_far_from_zero_is_not_steady():
    node = elementwise_node("Add", 4.0)
    assert is_steady(node, ChannelAffine(1, np.ones(4), np.full(4, 200.0)))
    assert not is_steady(node, ChannelAffine(1, np.ones(4), np.full(4, 300.0)))


def test_what_can_be_undone():
    assert can_undo(batch_norm(g=1, b=1))
    assert not can_undo(batch_norm(g=0, b=0))
    assert not can_undo(batch_norm(g=1, b=20))
    assert not can_undo(elementwise_node("Mul", 4.0))


def test_affines_along_two_axes_do_not_compose():
    one, other = (ChannelAffine(axis, np.ones(4), np.ones(4)) for axis in (1, 2))
    assert one.after(other) is None
    assert one.after(one) is not None


def test_a_vector_of_another_length_runs_along_no_channels():
    affine = ChannelAffine(1, np.ones(4), np.ones(4))
    assert affine.along(1, 4) is not None
    assert affine.along(2, 4) is None
    assert affine.along(1, 6) is None


def test_what_is_the_same_map():
    one = ChannelAffine(1, np.ones(4), np.ones(4))
    assert one.like(ChannelAffine(1, np.ones(4), np.ones(4)))
    assert not one.like(one.on(2))
    assert not one.like(ChannelAffine(1, np.full(4, 2.0), np.ones(4)))
    assert not one.like(ChannelAffine(1, np.ones(4), np.zeros(4)))


def test_the_inverse_undoes():
    affine = ChannelAffine(1, np.array([2.0, -3.0]), np.array([1.0, 5.0]))
    both = affine.inverse().after(affine)
    assert both is not None
    np.testing.assert_allclose([both.scale, both.shift], [[1, 1], [0, 0]], atol=1e-15)
