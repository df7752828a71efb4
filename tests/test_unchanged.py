"""A conversion that was made already is told by its files; anything that changed makes it anew."""

import json
import subprocess
import sys

import numpy as np
import onnx
import pytest
import torch
from torch import nn

import bnexport
from bnexport.unchanged import request_of


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)).eval()
    folder = tmp_path_factory.mktemp("made")
    torch.save(net, folder / "net.pt")
    return bnexport.convert(net, folder / "net.onnx", inputs=["Nx3x8x8"]).path


@pytest.fixture
def model(made, tmp_path):
    path = tmp_path / "model.onnx"
    path.write_bytes(made.read_bytes())
    return path


def convert(model, **options):
    return bnexport.convert(model, model.with_name("out.onnx"), **options)


def test_the_same_again_is_found_with_its_proof(model):
    first, again = convert(model), convert(model)
    assert (first.unchanged, again.unchanged) == (False, True)
    assert again.files == first.files
    assert again.ledger == first.ledger
    assert again.parity == first.parity
    assert {**first.to_json(), "unchanged": True} == json.loads(json.dumps(again.to_json()))


@pytest.mark.parametrize(
    "options",
    [
        {"force": True},
        {"batch": (1, 3)},
        {"fold": False},
        {"precision": "fp16"},
        {"atol": 1e-3, "rtol": 1e-3},
    ],
)
def test_another_request_is_converted(model, options):
    convert(model)
    assert not convert(model, **options).unchanged


def test_another_weight_is_converted(model):
    convert(model)
    proto = onnx.load(model)
    weight = onnx.numpy_helper.to_array(proto.graph.initializer[0]) * np.float32(1.5)
    proto.graph.initializer[0].CopyFrom(
        onnx.numpy_helper.from_array(weight, proto.graph.initializer[0].name)
    )
    onnx.save(proto, model)
    assert not convert(model).unchanged


def test_another_release_of_a_library_is_converted(model, monkeypatch):
    convert(model)
    real = request_of.__globals__["versions"]
    monkeypatch.setitem(request_of.__globals__, "versions", lambda: {**real(), "onnxruntime": "99"})
    assert not convert(model).unchanged


@pytest.mark.parametrize("damage", ["cut", "gone", "report"])
def test_files_that_were_touched_are_made_again(model, damage):
    done = convert(model)
    if damage == "cut":
        done.path.write_bytes(done.path.read_bytes()[:-1])
    elif damage == "gone":
        done.path.unlink()
    else:
        done.report.write_text("{")
    assert not convert(model).unchanged
    assert convert(model).unchanged


def test_other_samples_are_converted(model, tmp_path):
    samples = tmp_path / "s.npz"
    for seed, unchanged in ((0, False), (0, True), (1, False)):
        x = np.random.default_rng(seed).standard_normal((8, 3, 8, 8)).astype(np.float32)
        np.savez(samples, input=x)
        assert convert(model, inputs_from=samples).unchanged is unchanged


def test_what_needs_code_of_the_users_cannot_be_known():
    assert request_of(nn.Identity(), {}) is None
    assert request_of("missing.pt", {}) is None
    assert request_of(__file__, {"arch": "nets:build"}) is None
    assert request_of(__file__, {"allow": ("nets.Net",)}) is None
    assert request_of(__file__, {}) is not None


def test_weights_beside_the_file_may_change_unseen(made, tmp_path):
    proto = onnx.load(made)
    onnx.save(
        proto,
        tmp_path / "big.onnx",
        save_as_external_data=True,
        location="big.bin",
        size_threshold=0,
    )
    for _ in range(2):
        assert not bnexport.convert(tmp_path / "big.onnx", tmp_path / "out.onnx").unchanged


def test_the_command_tells_without_torch(model, tmp_path):
    command = [sys.executable, "-X", "importtime", "-m", "bnexport", "convert", str(model)]
    command += ["-o", str(tmp_path / "c.onnx")]
    first, again = (
        subprocess.run(command, capture_output=True, text=True, check=True) for _ in range(2)
    )
    assert "checks passed" in first.stdout
    assert "unchanged; --force" in again.stdout
    imported = {line.rpartition("|")[2].strip() for line in again.stderr.splitlines()}
    assert not imported & {"torch", "onnx", "onnxruntime", "numpy"}
    document = subprocess.run(
        [*command[:1], *command[3:], "--json"], capture_output=True, text=True, check=True
    )
    assert json.loads(document.stdout)["unchanged"] is True
