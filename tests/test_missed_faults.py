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
    judged = {check.output for check in parity.checks if check.inputs == "zeros"}
    assert judged == {"scores"}


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


def test_a_file_with_one_input_more_is_a_failure_and_no_crash(tmp_path: Path):
    head = '<ir_version: 10, opset_import: ["" : 18]> g '
    texts = {
        "one": "(float[N,4] x) => (float[N,4] y) { y = Relu (x) }",
        "two": "(float[N,4] x, float[N,4] u) => (float[N,4] y) { z = Add (x, u) y = Relu (z) }",
    }
    paths = [tmp_path / f"{name}.onnx" for name in texts]
    for path, text in zip(paths, texts.values(), strict=True):
        onnx.save(onnx.parser.parse_model(head + text), path)
    parity = bnexport.verify(*paths, inputs=["x:Nx4"])
    assert "1 inputs were given, the file has 2 (x, u)" in parity.failures[0].detail


@pytest.mark.parametrize(
    "inputs", [["Nx3x9x9"], ["Nx3x8"], ["Nx3x8x8:int64"], {"x": np.zeros((2, 3, 9, 9), np.float32)}]
)
def test_inputs_that_the_file_says_do_not_fit_are_a_mistake_of_use(inputs, tmp_path: Path):
    net = nn.Sequential(nn.Conv2d(3, 4, 3)).eval()
    path = bnexport.convert(net, tmp_path / "m.onnx", inputs=["Nx3x8x8"], batch=(1,)).path
    given = {"inputs": inputs}
    if isinstance(inputs, dict):
        np.savez(tmp_path / "x.npz", input=inputs["x"])
        given = {"inputs_from": tmp_path / "x.npz"}
    with pytest.raises(
        bnexport.UsageError, match=r"does not fit: the file takes Nx3x8x8 of float32"
    ):
        bnexport.verify(path, path, **given)


def test_one_batch_size_needs_no_list(tmp_path: Path):
    net = nn.Sequential(nn.Conv2d(3, 4, 3)).eval()
    done = bnexport.convert(net, tmp_path / "m.onnx", inputs=["Nx3x8x8"], batch=4)
    assert done.parity.batches == (1, 4)


def test_integers_of_an_unknown_range_are_said_to_be_drawn_from_zero_and_one(tmp_path: Path):
    text = '<ir_version: 10, opset_import: ["" : 18]> g (int64[N,4] x) => (int64[N,4] y) { y = Mul (x, x) }'
    path = tmp_path / "square.onnx"
    onnx.save(onnx.parser.parse_model(text), path)
    parity = bnexport.verify(path, path, batch=(1, 3))
    assert "only 0 and 1 were drawn" in {s.runtime: s.reason for s in parity.skipped}["input x"]


def test_an_endless_tolerance_is_none(tmp_path: Path):
    net = nn.Sequential(nn.Conv2d(3, 4, 3)).eval()
    with pytest.raises(bnexport.UsageError, match="finite"):
        bnexport.convert(net, tmp_path / "m.onnx", inputs=["Nx3x8x8"], atol=float("inf"))
