"""After a failed conversion: the layer that is wrong, whoever is at fault."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnx
import onnx_ir as ir
import pytest

import bnexport
import bnexport.capture
import bnexport.locate
import bnexport.subject
from bnexport.locate import located_after_build
from bnexport.parity import Check, Parity
from models import residual_classifier

SHAPE = ["Nx3x32x32"]


@pytest.fixture(scope="module")
def net():
    return residual_classifier.build()


@pytest.fixture
def mistranslating(monkeypatch):
    """An exporter that writes one weight wrongly; says which layer's."""
    layer = "stages.1.conv1"

    def capture(*arguments, **options):
        captured = bnexport.capture.capture(*arguments, **options)
        weight = captured.model.graph.initializers[f"{layer}.weight"]
        weight.const_value = ir.tensor(np.roll(weight.const_value.numpy(), 1, axis=3))
        return captured

    monkeypatch.setattr(bnexport.subject, "capture", capture)
    monkeypatch.setattr(bnexport.locate, "capture", capture)
    return layer


def test_a_layer_that_the_exporter_translates_wrongly_is_named(net, mistranslating, tmp_path):
    with pytest.raises(
        bnexport.ConversionFailed, match="exporter translates it wrongly"
    ) as failure:
        bnexport.convert(net, tmp_path / "net.onnx", inputs=SHAPE, batch=(1, 2), capture="export")
    origin = failure.value.conversion.parity.origin
    assert origin.layer == mistranslating
    assert origin.operator == "Conv"


def check(runtime: str) -> Check:
    return Check(runtime, "float32", 1, "agreement", "y", 1.0, 1.0, 0.0, 0.1, (0,), False)


@pytest.mark.parametrize(
    ("runtime", "start"),
    [
        ("TensorRT 10.16.1 (cuda)", "polygraphy run net.onnx --trt --onnxrt "),
        ("TensorRT-RTX 1.7.1 (cuda)", "POLYGRAPHY_USE_TENSORRT_RTX=1 polygraphy run net.onnx "),
    ],
)
def test_of_an_engine_alone_the_command_that_compares_its_layers_is_given(runtime, start):
    parity = Parity("PyTorch", (check(runtime), replace(check("ONNX Runtime 1"), passed=True)))
    artifact = SimpleNamespace(target="onnx", path=Path("somewhere/net.onnx"))
    found = located_after_build(parity, SimpleNamespace(plain=object()), [artifact])
    assert f"Layer by layer: {start}" in found.located
    assert found.origin is None


@pytest.fixture(scope="module")
def file(net, tmp_path_factory):
    return bnexport.convert(net, tmp_path_factory.mktemp("m") / "m.onnx", inputs=SHAPE).path


def edited(file: Path, edit) -> Path:
    model = onnx.load(file)
    edit(model.graph)
    path = file.with_name("edited.onnx")
    onnx.save(model, path)
    return path


def frozen(graph: onnx.GraphProto) -> None:
    graph.input[0].type.tensor_type.shape.dim[0].dim_value = 1


def renamed(graph: onnx.GraphProto) -> None:
    """The first output is another value."""
    graph.output.append(onnx.helper.make_empty_tensor_value_info(graph.node[0].output[0]))


def retyped(graph: onnx.GraphProto) -> None:
    output = graph.output[0]
    graph.node[-1].output[0] = "before"
    kind = onnx.TensorProto.DOUBLE
    graph.node.append(onnx.helper.make_node("Cast", ["before"], [output.name], to=kind))
    output.type.tensor_type.elem_type = kind


@pytest.mark.parametrize("edit", [frozen, renamed, retyped])
def test_what_is_no_layers_fault_is_put_on_none(net, file, edit):
    parity = bnexport.verify(net, edited(file, edit), inputs=SHAPE)
    assert not parity.ok
    assert (parity.located, parity.origin) == ("", None)


def test_a_node_that_cannot_run_is_named(net, file):
    def reshaped(graph: onnx.GraphProto) -> None:
        shape = onnx.numpy_helper.from_array(np.array([1, -1]), "shape")
        last = graph.node[-1]
        graph.initializer.append(shape)
        output, last.output[0] = last.output[0], "before"
        graph.node.append(onnx.helper.make_node("Reshape", ["before", "shape"], ["flat"]))
        classes = graph.output[0].type.tensor_type.shape.dim[1].dim_value
        fixed = onnx.numpy_helper.from_array(np.array([1, classes]), "fixed")
        graph.initializer.append(fixed)
        graph.node.append(onnx.helper.make_node("Reshape", ["flat", "fixed"], [output]))

    parity = bnexport.verify(net, edited(file, reshaped), inputs=SHAPE)
    assert parity.origin.operator == "Reshape"
    assert "it cannot be run: Reshape: The input tensor cannot be" in parity.located
