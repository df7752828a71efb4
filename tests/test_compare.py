"""A file judged by the model that it was made of."""

from __future__ import annotations

import warnings
from pathlib import Path

import onnx
import pytest
import torch
from torch import nn

from bnexport import UsageError, convert, verify
from bnexport.errors import Refused
from models import residual_classifier

SHAPE = residual_classifier.INPUT


@pytest.fixture(scope="module")
def net() -> nn.Module:
    return residual_classifier.build(0)


@pytest.fixture(scope="module")
def file(net: nn.Module, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return convert(net, tmp_path_factory.mktemp("made") / "net.onnx", inputs=SHAPE).path


def edited(file: Path, tmp_path: Path, change) -> Path:
    model = onnx.load(file)
    change(model.graph)
    onnx.save(model, tmp_path / "edited.onnx")
    return tmp_path / "edited.onnx"


def test_a_module_and_the_file_that_was_made_of_it(net, file):
    parity = verify(net, file, inputs=SHAPE, batch=(1, 3))
    assert parity.ok
    assert parity.reference.endswith("eval mode, float64")
    assert {check.runtime.split()[0] for check in parity.checks} == {"PyTorch", "ONNX"}


def test_a_checkpoint_with_its_code(net, file, tmp_path):
    torch.save(net.state_dict(), tmp_path / "net.pth")
    arch = "models.residual_classifier:build"
    parity = verify(
        tmp_path / "net.pth", file, arch=arch, arch_args={"seed": 3}, inputs=SHAPE, batch=(1, 2)
    )
    assert parity.ok


def test_code_alone(file):
    arch = "models.residual_classifier:build"
    assert verify(None, file, arch=arch, arch_args={"seed": 0}, inputs=SHAPE, batch=(1, 2)).ok
    assert not verify(None, file, arch=arch, arch_args={"seed": 1}, inputs=SHAPE, batch=(1, 2)).ok


def test_a_file_by_another_exporter_is_taken_by_places(net, tmp_path):
    path = tmp_path / "plain.onnx"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            net, (torch.randn(2, 3, 32, 32),), path, dynamic_shapes=({0: "n"},), verbose=False
        )
    assert verify(net, path, inputs=SHAPE, batch=(1, 3)).ok


def test_a_weight_that_changed_is_found(net, file, tmp_path):
    def half(graph):
        bias = next(each for each in graph.initializer if each.name.endswith("bias"))
        bias.raw_data = bytes(len(bias.raw_data))

    parity = verify(net, edited(file, tmp_path, half), inputs=SHAPE, batch=(1, 3))
    assert {check.runtime.split()[0] for check in parity.failures} == {"ONNX"}


def test_the_module_stays_as_it_is(net, file):
    net.train()
    try:
        assert verify(net, file, inputs=SHAPE, batch=(1, 2)).ok
        assert all(layer.training for layer in net.modules())
    finally:
        net.eval()


def test_a_missing_file_is_refused_before_anything_is_loaded(net):
    with pytest.raises(Refused, match=r"nowhere\.onnx: no such file"):
        verify(net, "nowhere.onnx")


def test_a_checkpoint_without_code_says_what_is_missing(net, file, tmp_path):
    torch.save(net.state_dict(), tmp_path / "net.pth")
    with pytest.raises(Refused, match="--arch"):
        verify(tmp_path / "net.pth", file)


def test_inputs_given_twice(net, file, tmp_path):
    with pytest.raises(UsageError, match="inputs are given twice"):
        verify(net, file, inputs=SHAPE, inputs_from=tmp_path / "x.npz")


def test_the_layer_that_is_wrong_is_named(net, file, tmp_path):
    def nudge(graph):
        weights = [each for each in graph.initializer if len(each.dims) == 4]
        numbers = onnx.numpy_helper.to_array(weights[4]).copy()
        numbers[0] *= 1.1
        weights[4].raw_data = numbers.tobytes()
        readers[:] = [n for n in graph.node if weights[4].name in n.input]

    readers = []
    broken = edited(file, tmp_path, nudge)
    parity = verify(net, broken, inputs=SHAPE, batch=(1, 2))
    (reader,) = readers
    assert parity.origin is not None
    assert parity.origin.value == reader.output[0]
    assert f"layer {parity.origin.layer!r}, Conv" in parity.located
    assert dict(net.named_modules())[parity.origin.layer]
    assert verify(file, broken, batch=(1, 2)).origin == parity.origin
    assert not verify(net, broken, inputs=SHAPE, batch=(1, 2), locate=False).located
