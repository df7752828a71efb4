"""Other inputs than the usual ones: which there are, and what is judged on them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from torch import Tensor, nn

import bnexport
from bnexport.inputs import Examples, InputSpec
from bnexport.parity import Reference, TorchRunner
from bnexport.parity.arrays import from_torch
from bnexport.parity.extremes import LARGE, extreme_inputs, extremes
from bnexport.parity.rounding import Rounding
from bnexport.signature import Plain

EDGES = ["zeros", "ones", LARGE, "inputs a thousandth as large", "the smallest numbers there are"]
DRAWS = ["draw 2 of the inputs", "draw 3 of the inputs"]
FLOATS, IDS = InputSpec("x", (None, 4)), InputSpec("i", (None, 3), "int64", high=9)


def test_floating_inputs_have_edges_and_integers_stay_legal():
    examples = Examples((FLOATS, IDS))
    usual = examples.batch(2)
    found = extreme_inputs(examples, 2)
    assert list(found) == [*DRAWS, *EDGES]
    assert not found["zeros"][0].any()
    smallest = np.abs(found[EDGES[-1]][0])
    assert smallest.max() < np.finfo(np.float32).tiny
    assert smallest.min() > 0
    for name in EDGES:
        np.testing.assert_array_equal(found[name][1], usual[1].numpy())
    assert not np.array_equal(found[DRAWS[0]][0], found[DRAWS[1]][0])


def test_integers_alone_have_draws():
    assert list(extreme_inputs(Examples((IDS,)), 1)) == DRAWS


def test_half_precision_that_overflows_is_no_input():
    examples = Examples(
        (InputSpec("x", (None, 2), "float16"),), data=(np.full((1, 2), 100, np.float16),)
    )
    assert LARGE not in extreme_inputs(examples, 1)


class Inverse(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(x / x.abs().sum(1, keepdim=True))


def test_where_the_model_gives_nan_there_is_nothing_to_judge():
    plain = Plain(Inverse().eval(), ["x"])
    own, wide = TorchRunner(plain), TorchRunner(plain, dtype=torch.float64)
    reference, drawn = Reference(wide, own, own, ""), from_torch(Examples((FLOATS,)).batch(1))
    usual = Rounding(reference, [drawn], [wide.run(drawn)], 1)
    found, left_out = extremes(reference, extreme_inputs(Examples((FLOATS,)), 1), usual)
    assert left_out == {"zeros": "the model itself gives NaN or Inf on them"}
    assert len(found) == len(DRAWS) + len(EDGES) - 1
    # Of the smallest numbers it makes what their order of summing makes of them.
    assert all(each.vague for each in found[-1].rounding.of("float32"))


@pytest.fixture(scope="module")
def net() -> nn.Module:
    torch.manual_seed(0)
    convs = [nn.Conv2d(3, 3, 3), nn.ReLU(), nn.Conv2d(3, 3, 1), nn.ReLU()]
    return nn.Sequential(*convs, nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU()).eval()


def test_a_file_that_clips_what_is_large_is_found_on_large_inputs_alone(net, tmp_path: Path):
    path = bnexport.convert(net, tmp_path / "net.onnx", inputs=["Nx3x8x8"]).path
    model = onnx.load(path)
    top = onnx.numpy_helper.from_array(np.float32(50), "top")
    model.graph.initializer.append(top)
    last = model.graph.node[-1]
    name, last.output[0] = last.output[0], "unclipped"
    model.graph.node.append(onnx.helper.make_node("Min", ["unclipped", "top"], [name]))
    onnx.save(model, path)
    parity = bnexport.verify(net, path, inputs=["Nx3x8x8"])
    assert {check.inputs for check in parity.failures} == {LARGE}
    assert parity.origin is not None
    assert parity.origin.value == name
    with pytest.raises(bnexport.BnexportError, match=f"at batch 1 on {LARGE}"):
        parity.raise_for_failure()
    assert bnexport.verify(net, path, inputs=["Nx3x8x8"], atol=1e-4).ok


class Normalised(nn.Module):
    """Of inputs that are all alike it makes nothing, to rounding that is divided by sqrt(eps)."""

    def __init__(self, scale: float) -> None:
        super().__init__()
        self.conv, self.norm, self.scale = nn.Conv1d(1, 8, 40, 4), nn.InstanceNorm1d(8), scale

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.conv(x)) * self.scale


@pytest.mark.parametrize("scale", [1.0, 1e-6])
def test_what_is_next_to_nothing_is_judged_in_units_of_what_it_usually_is(scale, tmp_path: Path):
    torch.manual_seed(0)
    net = Normalised(scale).eval()
    path = bnexport.convert(net, tmp_path / "net.onnx", inputs=["Nx1x4000"]).path
    model = onnx.load(path)
    head = model.graph.node[-1]
    off = onnx.numpy_helper.from_array(np.float32(scale / 100), "off")
    model.graph.initializer.append(off)
    output, head.output[0] = head.output[0], "before"
    where = onnx.helper.make_node("Max", ["before", "off"], [output])
    model.graph.node.append(where)
    onnx.save(model, path)
    parity = bnexport.verify(net, path, inputs=["Nx1x4000"], locate=False)
    assert "zeros" in {check.inputs for check in parity.failures}
