"""What a module keeps between calls: seen, compared, put back."""

from __future__ import annotations

import torch
from torch import nn

from bnexport.capture.tape.state import State, same_state


class Keeps(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.kept, self.table, self.rows = None, {}, [1]


def test_what_was_set_added_and_filled_is_put_back():
    module = Keeps()
    before = dict(vars(module))
    state = State(module)
    assert not state.kept()
    module.kept, module.added = torch.ones(2), 3
    module.table["a"] = 1
    module.rows.append(2)
    module.conv.bias.extra = 1
    kept = state.kept()
    assert {key for _, key in kept} == {"kept", "added", ""}
    state.restore()
    assert vars(module) == before
    assert (module.table, module.rows) == ({}, [1])
    assert not state.kept()


def test_a_layer_that_was_put_in_is_taken_out():
    module = Keeps()
    state = State(module)
    module.late = nn.ReLU()
    assert state.kept()
    state.restore()
    assert list(module._modules) == ["conv"]


def test_values_are_the_same_only_where_that_is_sure():
    grid = torch.linspace(0, 1, 3)
    assert same_state({"a": [grid, 2]}, {"a": [grid.clone(), 2]})
    assert same_state(torch.tensor([float("nan")]), torch.tensor([float("nan")]))
    assert not same_state(grid, grid * 2)
    assert not same_state(grid, grid.double())
    assert not same_state(2, 2.0)
    assert not same_state(object(), object())
    assert not same_state([grid], [grid, grid])
