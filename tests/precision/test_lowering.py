"""``--precision``: float16 breaks the planted network and says where; mixed keeps the right layers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from torch import nn

import bnexport
from bnexport.errors import ExportError, UsageError
from bnexport.precision.ranges import largest
from models import loud_audio, residual_classifier


def small() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 4, 3)
    ).eval()


class Cancelling(nn.Module):
    """A difference of two numbers that float16 cannot tell apart."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 4, 1)
        self.last = nn.Conv2d(4, 2, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = torch.sigmoid(self.first(x))
        return self.last((y + 4096.0).relu() - 4096.0)


class Two(nn.Module):
    """A BatchNorm that is an output and cannot go."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(3)
        self.conv = nn.Conv2d(3, 4, 3, padding=1)
        self.norm.running_mean += 0.5
        self.norm.running_var *= 2

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        y = self.norm(x)
        return y, self.conv(y)


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> Path:
    """Each network as an ONNX file in float32: captured once, for that is what takes time."""
    folder = tmp_path_factory.mktemp("files")
    torch.manual_seed(0)
    nets = {"small": small(), "cancelling": Cancelling().eval(), "two": Two().eval()}
    for name, net in nets.items():
        bnexport.convert(net, folder / f"{name}.onnx", inputs=["Nx3x8x8"], opset=22)
    bnexport.convert(loud_audio.build(), folder / "loud.onnx", inputs=loud_audio.INPUT)
    return folder


def lowered(path: Path, out: Path, precision: str, **options: object) -> dict[str, Any]:
    return bnexport.convert(path, out, precision=precision, **options).to_json()


def elements(path: Path) -> dict[str, int]:
    """The type of each weight."""
    return {tensor.name: tensor.data_type for tensor in onnx.load(path).graph.initializer}


def test_float16_is_judged_by_its_own_yardstick_and_halves_the_file(tmp_path):
    net, inputs = residual_classifier.build(), residual_classifier.INPUT
    half = bnexport.convert(net, tmp_path / "h.onnx", inputs=inputs, precision="fp16")
    assert half.ok
    weights = sum(parameter.numel() for parameter in net.parameters())
    assert half.path.stat().st_size < 2.2 * weights + 40_000
    judged = {c.runtime.partition(" 1.")[0]: c.precision for c in half.parity.checks}
    assert judged["ONNX Runtime"] == judged["ONNX Runtime rounding"] == "float16"
    report = half.to_json()["precision"]
    assert (report["dtype"], report["io"], report["stays"]) == ("float16", "float32", [])
    assert onnx.TensorProto.FLOAT not in elements(half.path).values()


def test_float16_breaks_the_planted_network_and_says_where(files, tmp_path):
    with pytest.raises(bnexport.ConversionFailed) as caught:
        lowered(files / "loud.onnx", tmp_path / "m.onnx", "fp16")
    assert "layer 'filters', Conv" in str(caught.value)
    assert "--precision mixed" in caught.value.remedy
    assert not [*tmp_path.iterdir()]


def test_mixed_keeps_the_right_layers(files, tmp_path):
    stays = lowered(files / "loud.onnx", tmp_path / "m.onnx", "mixed")["precision"]["stays"]
    assert {each["module"] for each in stays if each["module"]} == {"filters", "smooth"}
    assert {each["operator"] for each in stays} == {"Conv", "Mul", "AveragePool", "Add", "Log"}
    assert all("65,504" in each["reason"] for each in stays)
    kinds = elements(tmp_path / "m.onnx")
    assert kinds["conv1d.weight"] == onnx.TensorProto.FLOAT  # the filters, times the amplitude
    assert kinds["head.weight_float16"] == onnx.TensorProto.FLOAT16


def test_mixed_finds_what_loses_accuracy_though_nothing_overflows(files, tmp_path):
    path = files / "cancelling.onnx"
    with pytest.raises(bnexport.ConversionFailed):
        lowered(path, tmp_path / "h.onnx", "fp16")
    found = lowered(path, tmp_path / "m.onnx", "mixed")["precision"]
    assert {each["operator"] for each in found["stays"]} <= {"Add", "Sub", "Relu"}
    assert found["nodes"] > len(found["stays"]) > 0
    assert "off by" in found["stays"][0]["reason"]


def onnx_file(path: Path, text: str) -> Path:
    onnx.save(onnx.parser.parse_model(f'<ir_version: 10, opset_import: ["" : 22]> g {text}'), path)
    return path


def test_a_mask_may_be_infinite(tmp_path):
    text = """(float[N,4] x) => (float[N,4] y) { m = Constant <value = float[4] {0, -1e9, 0, 0}> ()
        a = Add (x, m)  y = Softmax <axis = 1> (a) }"""
    path = onnx_file(tmp_path / "m.onnx", text)
    for precision in ("fp16", "mixed"):
        found = lowered(path, tmp_path / "o.onnx", precision)["precision"]
        assert [each["operator"] for each in found["stays"]] == ["Add"]


def test_where_nothing_can_be_lowered_the_reason_is_told(tmp_path):
    text = """(float[N,4] x) => (float[N,4] y) {
        m = Constant <value = float {1e9}> ()  y = Mul (x, m) }"""
    path = onnx_file(tmp_path / "m.onnx", text)
    with pytest.raises(ExportError, match=r"y \(Mul\): a constant of it reaches 1.0e\+09"):
        lowered(path, tmp_path / "o.onnx", "fp16")
    path = onnx_file(tmp_path / "i.onnx", "(int64[N,4] x) => (int64[N,4] y) { y = Add (x, x) }")
    with pytest.raises(ExportError, match="no operator computes in float32"):
        lowered(path, tmp_path / "o.onnx", "mixed")


@pytest.mark.parametrize("name", ["small", "two"])
def test_bfloat16_inputs_and_outputs_are_judged_too(files, tmp_path, name):
    done = lowered(files / f"{name}.onnx", tmp_path / "m.onnx", "bf16", io_half=True)
    assert done["ok"]
    graph = onnx.load(tmp_path / "m.onnx").graph
    types = {v.type.tensor_type.elem_type for v in (*graph.input, *graph.output)}
    assert types == {onnx.TensorProto.BFLOAT16}
    assert any("NumPy has no bfloat16" in each["reason"] for each in done["parity"]["skipped"])


def test_a_healthy_network_is_float16_throughout_in_one_trial(files, tmp_path):
    found = lowered(files / "small.onnx", tmp_path / "m.onnx", "mixed")["precision"]
    assert (found["trials"], found["stays"]) == (1, [])


def test_bfloat16_takes_an_opset_that_has_it(tmp_path):
    done = bnexport.convert(small(), tmp_path / "m.onnx", inputs=["Nx3x8x8"], precision="bf16")
    assert onnx.load(done.path).opset_import[0].version == 22
    assert done.to_json()["precision"]["dtype"] == "bfloat16"
    assert any(check.precision == "bfloat16" for check in done.parity.checks)


def test_an_opset_without_it_is_told(files, tmp_path):
    with pytest.raises(ExportError, match="--opset 22"):
        lowered(files / "loud.onnx", tmp_path / "n.onnx", "bf16")
    assert not [*tmp_path.iterdir()]


def test_the_interface_can_be_half(files, tmp_path):
    document = lowered(files / "small.onnx", tmp_path / "m.onnx", "fp16", io_half=True)
    graph = onnx.load(tmp_path / "m.onnx").graph
    types = {v.type.tensor_type.elem_type for v in (*graph.input, *graph.output)}
    assert types == {onnx.TensorProto.FLOAT16}
    assert document["ok"]


def test_a_batchnorm_that_stays_is_float32(files, tmp_path):
    (stays,) = lowered(files / "two.onnx", tmp_path / "m.onnx", "fp16")["precision"]["stays"]
    assert (stays["module"], stays["operator"]) == ("norm", "BatchNormalization")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"precision": "int8"}, "ModelOpt"),
        ({"precision": "fp8"}, "Known: fp32, fp16, bf16, mixed"),
        ({"io_half": True}, "--precision fp16"),
        ({"precision": "fp32", "io_half": True}, "--precision fp16"),
        ({"precision": "fp16", "target": "pt2"}, "model.half"),
    ],
)
def test_what_cannot_be_asked_for_is_told_before_anything_is_read(options, words, tmp_path):
    with pytest.raises(UsageError, match=words):
        bnexport.convert(tmp_path / "missing.pt", tmp_path / "m.onnx", **options)


@pytest.mark.parametrize(("kind", "name"), [("half", "float16"), ("double", "float64")])
def test_a_model_of_another_type_is_told(kind, name, tmp_path):
    net = getattr(small(), kind)()
    with pytest.raises(UsageError, match=name):
        bnexport.convert(net, tmp_path / "m.onnx", inputs=[f"Nx3x8x8:{name}"], precision="fp16")


def test_ranges_are_the_largest_of_every_batch(files):
    x = np.random.default_rng(0).standard_normal((2, 3, 8, 8)).astype(np.float32)
    proto = onnx.shape_inference.infer_shapes(onnx.load(files / "small.onnx"))
    one, both = (largest(proto, batches, ["input"]) for batches in ([(x,)], [(x,), (3 * x,)]))
    assert one.keys() == both.keys()
    assert all(both[name] >= one[name] > 0 for name in one)
    assert both[proto.graph.output[0].name] > one[proto.graph.output[0].name]
