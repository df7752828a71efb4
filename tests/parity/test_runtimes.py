"""A runtime that is asked for is what runs, or the reason why nothing does."""

from __future__ import annotations

from pathlib import Path

import pytest
from torch import nn

import bnexport
from bnexport.cli.options import RUNTIMES as OFFERED
from bnexport.errors import MissingRuntime, UsageError
from bnexport.parity import cuda_obstacle
from bnexport.parity.runtimes import RUNTIMES, obstacle, onnx_runners

INPUT = ["Nx3x8x8"]


@pytest.fixture(scope="module")
def net() -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)).eval()


@pytest.fixture(scope="module")
def file(net: nn.Module, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return bnexport.convert(net, tmp_path_factory.mktemp("m") / "m.onnx", inputs=INPUT).path


def runtimes(parity: object) -> set[str]:
    return {check.runtime.partition(" 1.")[0] for check in parity.checks}


def test_the_command_offers_every_one():
    assert tuple(RUNTIMES) == OFFERED


def test_each_is_run_once(net, file):
    parity = bnexport.verify(net, file, inputs=INPUT, runtimes=["ort", "ort-plain", "ort"])
    assert parity.ok
    assert {"ONNX Runtime", "ONNX Runtime unoptimised"} <= runtimes(parity)
    assert len({check.runtime for check in parity.checks}) == 3  # PyTorch is the third


def test_two_files_are_verified_in_what_was_asked_for(file):
    parity = bnexport.verify(file, file, runtimes=["ort-plain"])
    assert "ONNX Runtime unoptimised" in runtimes(parity)
    assert "ONNX Runtime" not in runtimes(parity)


def test_a_conversion_is_verified_in_what_was_asked_for(net, tmp_path):
    done = bnexport.convert(net, tmp_path / "m.onnx", inputs=INPUT, runtimes=["ort-plain"])
    assert "ONNX Runtime unoptimised" in runtimes(done.parity)
    assert done.to_json()["options"]["runtimes"] == ["ort-plain"]


@pytest.mark.skipif(cuda_obstacle() == "", reason="CUDA works here")
@pytest.mark.parametrize("name", ["ort-cuda", "ort-trt"])
def test_one_that_cannot_run_is_an_error_and_nothing_is_published(net, file, name, tmp_path):
    with pytest.raises(MissingRuntime, match="ONNX Runtime on"):
        bnexport.verify(net, file, inputs=INPUT, runtimes=["ort", name])
    with pytest.raises(MissingRuntime, match="ONNX Runtime on"):
        bnexport.convert(net, tmp_path / "m.onnx", inputs=INPUT, runtimes=[name])
    assert not [*tmp_path.iterdir()]


def test_what_stands_in_the_way_is_told():
    assert obstacle("ort") == obstacle("ort-plain") == ""
    with pytest.raises(UsageError):
        obstacle("tpu")


@pytest.mark.skipif(cuda_obstacle() == "", reason="CUDA works here")
def test_a_gpu_that_is_not_there_stands_in_the_way():
    assert "CUDA" in obstacle("ort-cuda")
    assert "Tensorrt" in obstacle("ort-trt")


def test_one_that_is_not_known_is_named(net, file):
    with pytest.raises(UsageError, match="runtime 'tpu'"):
        bnexport.verify(net, file, inputs=INPUT, runtimes=["tpu"])
    with pytest.raises(UsageError, match="runtime 'tpu'"):
        onnx_runners(file, ["tpu"], None)


def test_they_are_chosen_for_onnx_files_alone(net, tmp_path):
    with pytest.raises(UsageError, match="chosen for an ONNX file"):
        bnexport.convert(net, tmp_path / "m.ts", target="torchscript", runtimes=["ort"])
    path = bnexport.convert(net, tmp_path / "m.ts", target="torchscript", inputs=INPUT).path
    with pytest.raises(UsageError, match="chosen for an ONNX file"):
        bnexport.verify(net, path, inputs=INPUT, runtimes=["ort"], trust_torchscript=True)
