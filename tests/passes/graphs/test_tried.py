"""What was tried in vain is remembered until something near it changes."""

from __future__ import annotations

import onnx_ir as ir
from graph_text import graph

from bnexport.passes.graphs import tried
from bnexport.passes.graphs.fold import Fold
from bnexport.passes.graphs.tried import InVain, Tried, around

FOUND = InVain("back", "onward", False)


def nodes(count: int) -> list[ir.Node]:
    made, value = [], ir.val("x")
    for number in range(count):
        made.append(ir.node("Relu", [value], name=str(number)))
        value = made[-1].outputs[0]
    return made


def test_it_is_forgotten_when_a_node_that_was_looked_at_changes():
    a, b, c, d = nodes(4)
    memory = Tried()
    memory.add(a, FOUND, [b, c])
    memory.changed([d])
    assert memory.of(a) == FOUND
    memory.changed([c])
    assert memory.of(a) is None


def test_a_second_attempt_depends_on_what_the_first_looked_at_too():
    a, b, c = nodes(3)
    memory = Tried()
    memory.add(a, FOUND, [b])
    memory.add(a, InVain("back", "onward", True), [c])
    memory.changed([b])
    assert memory.of(a) is None


def test_all_is_forgotten_at_once():
    a, b = nodes(2)
    memory = Tried()
    memory.add(a, FOUND, [b])
    memory.forget()
    assert memory.of(a) is None


def test_around_a_node_are_those_that_it_reads_and_that_read_it():
    a, b, c, d = nodes(4)
    assert around([b]) == {a, b, c}
    assert around([d]) == {c, d}


def test_an_attempt_in_vain_is_made_once(monkeypatch):
    made = []

    class Counted(Tried):
        def add(self, node, found, seen):
            made.append((node.name, found.partly))
            super().add(node, found, seen)

    monkeypatch.setattr("bnexport.passes.graphs.fold.Tried", Counted)
    text = "(float[N,4,8,8] x) => (float[N,C,H,K] y)"
    text += "{ a = Relu (x)  y = BatchNormalization (a, g, b, m, v) }"
    model = graph(text, **dict.fromkeys(("g", "b", "m", "v"), (4,)))
    Fold()(model)
    assert len(made) == len(set(made)) <= 2
    assert tried.Tried is not Counted
