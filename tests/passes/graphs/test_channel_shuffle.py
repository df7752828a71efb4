"""Which rows of Reshape, Transpose and Reshape are a channel shuffle."""

from __future__ import annotations

import onnx_ir as ir
import pytest
from graph_text import graph

from bnexport.passes.graphs.channel_shuffle import shuffle_before, shuffle_behind

Sizes = tuple[int, ...]


def row(
    source: str, inner: Sizes, perm: Sizes, outer: Sizes, *, middle: str = "", last: str = ""
) -> ir.Model:
    """The row; ``middle`` and ``last`` are operators in the place of the second and third."""
    turn = middle or f"Transpose <perm={list(perm)}>"
    end = last + " (b)" if last else "Reshape (b, o)"
    constants = "".join(
        f" {name} = Constant <value = int64[{len(sizes)}] {{{', '.join(map(str, sizes))}}}> ()"
        for name, sizes in (("i", inner), ("o", outer))
    )
    result = ",".join("ABCD"[: len(outer)])
    text = f"(float[{source}] x) => (float[{result}] y) {{{constants} a = Reshape (x, i)"
    return graph(f"{text} b = {turn} (a) z = {end} y = Abs (z) }}")


def test_a_shuffle():
    model = row("N,6,4", (0, 2, 3, 4), (0, 2, 1, 3), (0, 6, 4))
    first, last = model.graph.node(-4), model.graph.node(-2)
    before, behind = shuffle_before(last), shuffle_behind(first)
    assert before is not None
    assert behind is not None
    assert (before[0], behind[0]) == (first, last)
    assert list(before[1]) == list(behind[1]) == [0, 3, 1, 4, 2, 5]


def test_a_shuffle_whose_places_are_one_axis_on_the_way():
    model = row("N,6,2,2", (0, 2, 3, 4), (0, 2, 1, 3), (0, 6, 2, 2))
    before = shuffle_before(model.graph.node(-2))
    assert before is not None
    assert list(before[1]) == [0, 3, 1, 4, 2, 5]


SPLIT_BATCH = (
    "(float[2,4,H,8] x) => (float[2,4,H,8] y) <float[4,2,2,G,8] a, float[4,2,2,G,8] b, float[2,4,H,8] z> "
    "{ i = Constant <value = int64[5] {4, 2, 2, -1, 8}> ()  o = Constant <value = int64[4] {2, 4, -1, 8}> ()"
    "  a = Reshape (x, i)  b = Transpose <perm=[0,2,1,3,4]> (a)  z = Reshape (b, o)  y = Abs (z) }"
)

NONE = {
    "the_batch_takes_half_of_places_whose_number_is_not_known": graph(SPLIT_BATCH),
    "another_last_operator": row("N,6,4", (0, 6, 4), (0, 1, 2), (0, 6, 4), last="Relu"),
    "other_channels_before": row("N,3,8", (0, 2, 3, 4), (0, 2, 1, 3), (0, 6, 4)),
    "no_channels": row("6", (2, 3), (1, 0), (6,)),
    "an_axis_that_is_not_the_channels": row("N,6,4", (0, 4, 6), (0, 1, 2), (0, 6, 4)),
    "the_batch_moves": row("2,2,4", (2, 2, 4), (1, 0, 2), (2, 2, 4)),
    "the_rest_moves": row("N,4,2,2", (0, 2, 2, 2, 2), (0, 2, 1, 4, 3), (0, 4, 2, 2)),
    "the_channels_join_the_batch": row("2,6,4", (12, 4), (0, 1), (2, 6, 4)),
    "the_batch_is_split": row("2,6,4", (1, 2, 3, 8), (0, 2, 1, 3), (2, 6, 4)),
    "no_transpose": row("N,4,4", (0, 4, 4), (), (0, 4, 4), middle="Relu"),
}


@pytest.mark.parametrize("name", NONE)
def test_what_is_none(name):
    model = NONE[name]
    assert shuffle_before(model.graph.node(-2)) is None
    assert shuffle_behind(model.graph.node(-4)) is None


def test_another_first_operator():
    text = "(float[N,4,4] x) => (float[A,B,C] y) { o = Constant <value = int64[3] {0, 4, 4}> ()"
    model = graph(
        f"{text} a = Relu (x) b = Transpose <perm=[0,1,2]> (a) z = Reshape (b, o) y = Abs (z) }}"
    )
    assert shuffle_before(model.graph.node(-2)) is None


@pytest.mark.parametrize("index", [-4, -3])
def test_an_operator_of_another_domain(index):
    model = row("N,6,4", (0, 2, 3, 4), (0, 2, 1, 3), (0, 6, 4))
    model.graph.node(index).domain = "com.example"
    assert shuffle_before(model.graph.node(-2)) is None


def test_a_value_inside_that_others_read():
    model = row("N,6,4", (0, 2, 3, 4), (0, 2, 1, 3), (0, 6, 4))
    first, turn, last = (model.graph.node(index) for index in (-4, -3, -2))
    model.graph.append(ir.node("Relu", [turn.outputs[0]]))
    assert shuffle_before(last) is None
    assert shuffle_behind(first) is None


def test_a_value_inside_that_is_an_output():
    model = row("N,6,4", (0, 2, 3, 4), (0, 2, 1, 3), (0, 6, 4))
    first, turn, last = (model.graph.node(index) for index in (-4, -3, -2))
    model.graph.outputs.append(turn.outputs[0])
    assert shuffle_before(last) is None
    assert shuffle_behind(first) is None
