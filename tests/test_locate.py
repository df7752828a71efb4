"""After a failed conversion: the layer that is wrong, whoever is at fault."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
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

    def capture(*arguments):
        captured = bnexport.capture.capture(*arguments)
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
        bnexport.convert(net, tmp_path / "net.onnx", inputs=SHAPE, batch=(1, 2))
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
