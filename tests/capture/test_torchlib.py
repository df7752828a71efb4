"""torch.onnx is spared what a program does not need: that program alone, in that thread alone, with the same graph."""

from __future__ import annotations

import threading

import onnx_ir as ir
import pytest
import torch
from torch import nn

from bnexport.capture import torchlib
from bnexport.capture.export import capture_program, export
from bnexport.capture.ready import is_ready, make_ready
from bnexport.inputs import Examples, InputSpec
from bnexport.signature import Plain

EXAMPLES = Examples((InputSpec("x", (None, 3, 8, 8)),))


class Mixed(nn.Module):
    """Types that torch.onnx makes one, in nodes that it puts in itself."""

    def __init__(self):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)
        self.register_buffer("steps", torch.arange(6))

    def forward(self, x):
        y = self.norm(self.conv(x))
        return y * self.steps + 1, (y + 2 * self.steps).sum(1), y.mean((2, 3)) / 3


def plain_of(module):
    plain = Plain(module.eval(), ["x"]).eval()
    with torch.no_grad():
        plain(*EXAMPLES.batch(2))
    return plain


def operators(model: ir.Model) -> list[str]:
    return [node.op_type for node in model.graph]


def registered() -> int:
    from torch.onnx._internal.exporter import _registration

    return len(_registration.ONNXRegistry.from_torchlib(20).functions)


@pytest.fixture
def program():
    return make_ready(capture_program(plain_of(Mixed()), EXAMPLES))


def test_few_translations_are_read_inside_and_all_outside(program):
    every = registered()
    assert is_ready(program)
    with torchlib.only_needed(program):
        few = registered()
    assert few < every / 2 < registered() == every


def test_other_threads_find_all(program):
    every, found = registered(), []
    with torchlib.only_needed(program):
        thread = threading.Thread(target=lambda: found.append(registered()))
        thread.start()
        thread.join()
    assert found == [every]


def test_the_graph_is_the_one_that_all_translations_give(monkeypatch):
    plain = plain_of(Mixed())
    spared = export(plain, EXAMPLES, 20).model
    monkeypatch.setattr(torchlib, "_is_installed", lambda: False)
    assert operators(export(plain, EXAMPLES, 20).model) == operators(spared)


def test_a_torch_of_other_insides_is_asked_as_ever(program, monkeypatch):
    every = registered()

    def gone(name):
        raise ImportError(name)

    monkeypatch.setattr(torchlib.importlib, "import_module", gone)
    with torchlib.only_needed(program):
        assert registered() == every


def test_a_program_that_calls_what_has_no_translation_finds_all(program):
    every = registered()
    node = next(node for node in program.graph.nodes if node.op == "call_function")
    node.target = torch.ops.aten.linalg_eigh.default
    with torchlib.only_needed(program):
        assert registered() == every
