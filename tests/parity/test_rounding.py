"""The yardstick of an arithmetic coarser than the model's own is measured in that arithmetic."""

from __future__ import annotations

from itertools import pairwise
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
from bnexport.parity.reference import reference_for
from bnexport.parity.rounding import Rounding
from bnexport.parity.tf32 import to_tf32
from bnexport.signature import Plain

EXAMPLES = Examples((InputSpec("x", (None, 3, 8, 8)),))


class Scaled(nn.Module):
    """No product for a tensor core."""

    def forward(self, x: Tensor) -> Tensor:
        return x.sin() * 1.5


class Picky(Scaled):
    """Runs in float32 and float64 alone."""

    def forward(self, x: Tensor) -> Tensor:
        if x.dtype in (torch.float16, torch.bfloat16):
            raise TypeError("not in half precision")
        return super().forward(x)


class Steep(nn.Module):
    """Leaves what float16 holds."""

    def forward(self, x: Tensor) -> Tensor:
        return (x * 60_000) * 60_000


def rounding(module: nn.Module, examples: Examples = EXAMPLES) -> Rounding:
    inputs = from_torch(examples.batch(4))
    reference = reference_for(Plain(module.eval(), ["x"]), inputs)
    with reference.runner as runner:
        return Rounding(reference, [inputs], [runner.run(inputs)], 3)


def relative(module: nn.Module, precision: str) -> float:
    return rounding(module).of(precision)[0].relative


class Convolutions(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.Sequential(nn.Conv2d(3, 16, 3), nn.ReLU(), nn.Conv2d(16, 8, 3))

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)


def test_tf32_has_ten_binary_places():
    numbers = torch.randn(1000)
    rounded = to_tf32(numbers)
    gap = (rounded - numbers).abs() / numbers.abs()
    assert 2**-12 < gap.max() <= 2**-11
    mantissa, _ = np.frexp(rounded.numpy())
    assert np.array_equal(mantissa * 2**11, np.round(mantissa * 2**11))


@pytest.mark.parametrize(("number", "nearest"), [(1 + 2**-11, 1.0), (1 + 3 * 2**-11, 1 + 2**-9)])
def test_tf32_rounds_ties_to_even(number, nearest):
    assert to_tf32(torch.tensor([number])).item() == nearest


def test_infinity_stays_infinite_and_other_types_are_left_alone():
    assert to_tf32(torch.tensor([float("inf"), -float("inf")])).isinf().all()
    wide = torch.randn(4, dtype=torch.float64)
    assert to_tf32(wide) is wide


def test_coarser_arithmetic_is_measured_coarser():
    found = [relative(Convolutions(), p) for p in ("float32", "tf32", "float16", "bfloat16")]
    assert all(2 * fine < coarse or i == 1 for i, (fine, coarse) in enumerate(pairwise(found)))
    assert found[1] > 1000 * found[0]
    # Ten places each, but float16 also rounds what is between the products.
    assert 0.3 < found[2] / found[1] < 3


def test_tf32_changes_nothing_where_there_is_no_product():
    inputs = from_torch(EXAMPLES.batch(4))
    runner = TorchRunner(Plain(Scaled(), ["x"]))
    coarse = runner.coarser("tf32")
    assert coarse is not None
    np.testing.assert_array_equal(runner.run(inputs)[0], coarse.run(inputs)[0])


def test_where_it_cannot_be_measured_the_models_own_stands():
    found = rounding(Steep())
    assert found.of("float16") == found.of("float32")


def test_a_model_that_insists_on_float32_is_measured_in_half_all_the_same():
    found = rounding(Picky())
    assert found.of("float16")[0].precision == "float16"


def test_a_finer_arithmetic_gets_no_shorter_one():
    examples = Examples((InputSpec("x", (None, 3, 8, 8), "float16"),))
    found = rounding(Convolutions().half(), examples)
    assert found.of("float32") == found.of("float16")


def test_an_onnx_file_is_not_run_in_another_arithmetic(tmp_path: Path):
    path = bnexport.convert(Convolutions(), tmp_path / "m.onnx", inputs=["Nx3x8x8"]).path
    from bnexport.parity import OnnxReference

    reference: Reference = OnnxReference(path)
    inputs = from_torch(EXAMPLES.batch(4))
    with reference.runner as runner:
        found = Rounding(reference, [inputs], [runner.run(inputs)], 3)
    assert found.of("float16") == found.of("float32")


def test_a_float16_file_is_judged_by_what_float16_does_to_the_module(tmp_path: Path):
    module = Convolutions()
    path = bnexport.convert(module, tmp_path / "m.onnx", inputs=["Nx3x8x8"]).path
    half = halved(path)
    parity = bnexport.verify(module, half, inputs=["Nx3x8x8"], batch=(1, 4), locate=False)
    assert parity.ok, parity.failures
    runner = TorchRunner(Plain(module, ["x"]), dtype=torch.float16)
    x = from_torch(EXAMPLES.batch(4))
    with runner, TorchRunner(Plain(module, ["x"]), dtype=torch.float64) as wide:
        a, b = runner.run(x)[0].astype(np.float64), wide.run(x)[0]
    own = np.linalg.norm(a - b) / np.linalg.norm(b)
    checks = [c for c in parity.checks if c.precision == "float16" and c.kind == "agreement"]
    assert checks
    for check in checks:
        if not check.inputs:
            assert own < check.yardstick < 2 * own


def halved(path: Path) -> Path:
    """The file with its weights in float16 and a Cast at each end."""
    model = onnx.load(path)
    graph = model.graph
    for tensor in graph.initializer:
        value = onnx.numpy_helper.to_array(tensor).astype(np.float16)
        tensor.CopyFrom(onnx.numpy_helper.from_array(value, tensor.name))
    del graph.value_info[:]
    x, y = graph.input[0].name, graph.output[0].name
    for node in graph.node:
        node.input[:] = [f"{each}/half" if each == x else each for each in node.input]
        node.output[:] = [f"{each}/half" if each == y else each for each in node.output]
    kinds = onnx.TensorProto.FLOAT16, onnx.TensorProto.FLOAT
    first = onnx.helper.make_node("Cast", [x], [f"{x}/half"], to=kinds[0])
    last = onnx.helper.make_node("Cast", [f"{y}/half"], [y], to=kinds[1])
    graph.node.insert(0, first)
    graph.node.append(last)
    edited = path.with_name("half.onnx")
    onnx.save(model, edited)
    return edited
