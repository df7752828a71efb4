"""Faults that once passed, and healthy models that once did not: each found by somebody who looked for it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper
from torch import Tensor, nn
from torch.nn import functional

import bnexport

Edit = Callable[[onnx.GraphProto], None]


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


class Scales(nn.Module):
    """A price in the millions beside a probability."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.price, self.chance = nn.Linear(8, 16), nn.Linear(16, 1), nn.Linear(16, 1)

    def forward(self, x: Tensor) -> Tensor:
        y = self.body(x).relu()
        return torch.cat([self.price(y) * 1e6, self.chance(y).sigmoid()], 1)


class Constant(nn.Module):
    """Pixels beside a constant."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv1d(4, 4, 1)
        self.register_buffer("stride", torch.full((1, 1, 32), 0.5))

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([self.conv(x) * 640, self.stride.expand(x.shape[0], -1, -1)], 1)


class Tables(nn.Module):
    """Two embeddings, one of them of two rows, and an offset before a third."""

    def __init__(self) -> None:
        super().__init__()
        self.words, self.types = nn.Embedding(100, 16), nn.Embedding(2, 16)
        self.head = nn.Linear(16, 4)

    def forward(self, ids: Tensor, types: Tensor) -> Tensor:
        return self.head(functional.gelu(self.words(ids) + self.types(types)).mean(1))


class Difference(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.line = nn.Linear(8, 4)

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        return self.line(a) - 2 * self.line(b)


def weight(name: str, change: Callable[[np.ndarray], object]) -> Edit:
    def edit(graph: onnx.GraphProto) -> None:
        (tensor,) = (each for each in graph.initializer if each.name == name)
        value = numpy_helper.to_array(tensor).copy()
        change(value)
        tensor.CopyFrom(numpy_helper.from_array(value, name))

    return edit


def renamed(graph: onnx.GraphProto) -> None:
    """Each input has the other's name."""
    other = {"a": "b", "b": "a"}
    for value in graph.input:
        value.name = other[value.name]
    for node in graph.node:
        node.input[:] = [other.get(name, name) for name in node.input]


def reordered(graph: onnx.GraphProto) -> None:
    values = [onnx.ValueInfoProto.FromString(each.SerializeToString()) for each in graph.input]
    del graph.input[:]
    graph.input.extend(reversed(values))


def with_a_half(edit: Edit) -> Edit:
    """And a float16 weight that nothing reads."""

    def edited(graph: onnx.GraphProto) -> None:
        edit(graph)
        graph.initializer.append(numpy_helper.from_array(np.zeros(1, np.float16), "unused"))

    return edited


FAULTS: dict[str, tuple[Callable[[], nn.Module], list[str], Edit]] = {
    "a probability beside a price": (
        Scales,
        ["Nx8"],
        weight("chance.bias", lambda bias: bias.__iadd__(np.float32(0.3))),
    ),
    "a constant beside pixels": (
        Constant,
        ["Nx4x32"],
        weight("stride", lambda value: value.__imul__(np.float32(1.002))),
    ),
    "rows of a table that a smaller one hides": (
        Tables,
        ["ids:Nx16:int64", "types:Nx16:int64"],
        weight("words.weight", lambda rows: rows[2:].fill(0)),
    ),
    "inputs under each other's names": (Difference, ["a:Nx8", "b:Nx8"], renamed),
    "weights behind a stray float16": (
        lambda: nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 4)),
        ["Nx8"],
        with_a_half(weight("2.weight", lambda value: value.__imul__(np.float32(1.002)))),
    ),
}


def edited(path: Path, edit: Edit) -> Path:
    model = onnx.load(path)
    edit(model.graph)
    onnx.save(model, path.with_name("edited.onnx"))
    return path.with_name("edited.onnx")


@pytest.mark.parametrize(("build", "inputs", "edit"), FAULTS.values(), ids=FAULTS)
def test_they_are_found_now(build, inputs, edit, tmp_path: Path):
    net = build().eval()
    path = bnexport.convert(net, tmp_path / "net.onnx", inputs=inputs, batch=(1, 3)).path
    wrong = edited(path, edit)
    assert not bnexport.verify(net, wrong, inputs=inputs, batch=(1, 3), locate=False).ok
    assert not bnexport.verify(path, wrong, batch=(1, 3), locate=False).ok


def test_the_order_in_which_inputs_are_declared_is_no_fault(tmp_path: Path):
    net, inputs = Difference().eval(), ["a:Nx8", "b:Nx8"]
    path = bnexport.convert(net, tmp_path / "net.onnx", inputs=inputs, batch=(1, 3)).path
    other = edited(path, reordered)
    assert bnexport.verify(path, other, batch=(1, 3)).ok
    assert bnexport.verify(net, other, inputs=inputs, batch=(1, 3)).ok


def test_a_fault_behind_inputs_in_another_order_is_located(tmp_path: Path):
    net, inputs = Difference().eval(), ["a:Nx8", "b:Nx8"]
    path = bnexport.convert(net, tmp_path / "net.onnx", inputs=inputs, batch=(1,)).path

    def edit(graph: onnx.GraphProto) -> None:
        reordered(graph)
        weight("line.weight", lambda value: value.__imul__(np.float32(1.01)))(graph)

    parity = bnexport.verify(net, edited(path, edit), inputs=inputs, batch=(1,))
    assert parity.origin.layer == "line"


class Best(nn.Module):
    """On inputs that are all alike every place ties, and which is first is luck."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, padding=1)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        y = self.conv(x).mean(1).flatten(1)
        scores, places = y.topk(5)
        return {"scores": scores, "places": places, "sorted": y.argsort(1)}


def test_ties_on_inputs_that_are_alike_are_no_fault(tmp_path: Path):
    parity = bnexport.convert(Best().eval(), tmp_path / "m.onnx", inputs=["Nx3x8x8"]).parity
    assert parity.ok
    assert "zeros" in {each.runtime for each in parity.skipped}


def test_a_scalar_input_is_fed_as_one(tmp_path: Path):
    text = '<ir_version: 10, opset_import: ["" : 18]> g (float[N,4] x, float s) => (float[N,4] y) { y = Mul (x, s) }'
    path = tmp_path / "scalar.onnx"
    onnx.save(onnx.parser.parse_model(text), path)
    assert bnexport.verify(path, path, batch=(1, 3)).ok


def test_strings_are_refused_by_name(tmp_path: Path):
    text = '<ir_version: 10, opset_import: ["" : 18]> g (string[N,4] x) => (string[N,4] y) { y = Identity (x) }'
    path = tmp_path / "text.onnx"
    onnx.save(onnx.parser.parse_model(text), path)
    with pytest.raises(bnexport.UsageError, match="input 'x' cannot be fed: it holds string"):
        bnexport.verify(path, path)
