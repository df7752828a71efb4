"""What was converted before is taken from a folder; anything that changed makes it anew."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

import bnexport

NETS = """
import torch
from torch import nn
from helpers import scaled

class Net(nn.Module):
    def __init__(self, width=4):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, width, 3), nn.BatchNorm2d(width)

    def forward(self, x):
        return scaled(self.norm(self.conv(x)))
"""
HELPERS = "def scaled(x):\n    return x * 2\n"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    (tmp_path / "nets.py").write_text(NETS)
    (tmp_path / "helpers.py").write_text(HELPERS)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("nets", "helpers"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    importlib.invalidate_caches()
    yield tmp_path
    for name in ("nets", "helpers"):
        sys.modules.pop(name, None)


@pytest.fixture
def saved(folder):
    torch.manual_seed(0)
    net = importlib.import_module("nets").Net(64)
    net.norm.running_mean.normal_()
    torch.save(net.eval(), folder / "net.pt")
    return folder / "net.pt"


def convert(model, name="out.onnx", **options):
    given = {"inputs": ["Nx3x8x8"], "allow": ["nets"], "proof": "quick", "cache": "kept"}
    return bnexport.convert(model, name, **{**given, **options})


def remove(conversion):
    for file in conversion.files:
        file.unlink()


def test_the_same_again_is_published_with_its_proof(saved):
    first = convert(saved)
    contents = {file.name: file.read_bytes() for file in first.files}
    remove(first)
    again = convert(saved)
    assert (first.unchanged, again.unchanged) == (False, True)
    assert {file.name: file.read_bytes() for file in again.files} == contents
    assert again.ledger == first.ledger
    assert again.parity == first.parity
    assert all(entry.ok for entry in bnexport.manifest.read_manifest(again.path))


def test_it_is_found_from_another_folder(saved, monkeypatch):
    first = convert(saved)
    (saved.parent / "other").mkdir()
    again = convert(saved, "other/out.onnx")
    assert again.unchanged
    assert again.path.read_bytes() == first.path.read_bytes()
    assert json.loads(again.report.read_text())["files"][0]["path"] == "other/out.onnx"
    assert not convert(saved, "renamed.onnx").unchanged  # files name one another


def test_external_data_comes_along(saved):
    first = convert(saved, external_data=True)
    x = np.ones((1, 3, 8, 8), np.float32)
    right = onnxruntime.InferenceSession(first.path).run(None, {"x": x})[0]
    remove(first)
    again = convert(saved, external_data=True)
    assert again.unchanged
    assert len(again.files) == 4
    found = onnxruntime.InferenceSession(again.path).run(None, {"x": x})[0]
    np.testing.assert_array_equal(found, right)


CHANGES = {
    "the class": ("nets.py", NETS.replace("return scaled(", "return 2 * scaled(")),
    "what it imports": ("helpers.py", HELPERS.replace("* 2", "* 3")),
}


@pytest.mark.parametrize("what", CHANGES)
def test_other_code_is_converted(saved, what, folder):
    remove(convert(saved))
    name, text = CHANGES[what]
    (folder / name).write_text(text)
    for module in ("nets", "helpers"):
        sys.modules.pop(module, None)
    importlib.invalidate_caches()
    conversion = convert(saved)
    assert not conversion.unchanged
    x = torch.ones(1, 3, 8, 8)
    with torch.no_grad():
        right = bnexport.load(saved, allow=["nets"]).model(x)
    found = onnxruntime.InferenceSession(conversion.path).run(None, {"x": x.numpy()})[0]
    np.testing.assert_allclose(found, right.numpy(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "options",
    [
        {"batch": (1, 3)},
        {"fold": False},
        {"proof": "full"},
        {"inputs": ["Nx3x9x9"]},
        {"force": True},
    ],
)
def test_another_request_is_converted(saved, options):
    remove(convert(saved))
    assert not convert(saved, **options).unchanged


def test_another_weight_is_converted(saved):
    remove(convert(saved))
    net = torch.load(saved, weights_only=False)
    with torch.no_grad():
        net.conv.bias += 1
    torch.save(net, saved)
    assert not convert(saved).unchanged


def test_another_package_is_converted(saved, monkeypatch):
    remove(convert(saved))
    unchanged = importlib.import_module("bnexport.unchanged")
    monkeypatch.setattr(unchanged, "installed", lambda: ("another-1.0",))
    assert not convert(saved).unchanged


@pytest.mark.parametrize("damage", ["cut", "gone", "report"])
def test_what_is_damaged_is_made_again_and_kept_again(saved, damage, folder):
    remove(convert(saved))
    (entry,) = (folder / "kept").iterdir()
    if damage == "report":
        (entry / "report.json").write_text("{}")
    elif damage == "gone":
        (entry / "out.onnx").unlink()
    else:
        (entry / "out.onnx").write_bytes((entry / "out.onnx").read_bytes()[:-1])
    assert not convert(saved).unchanged
    remove(convert(saved, "out.onnx"))
    assert convert(saved).unchanged


def test_a_live_module_is_known_by_its_content(folder):
    nets = importlib.import_module("nets")

    def made(seed=0, width=4):
        torch.manual_seed(seed)
        return nets.Net(width).eval()

    remove(convert(made(), allow=()))
    assert convert(made(), allow=()).unchanged
    assert not convert(made(seed=1), allow=()).unchanged
    assert not convert(made(width=5), allow=()).unchanged
    strided = made()
    strided.conv.stride = (2, 2)
    assert not convert(strided, allow=()).unchanged


def test_a_folder_that_cannot_be_written_costs_nothing_else(saved, folder):
    (folder / "kept").write_text("a file")
    assert convert(saved).ok


def test_the_command_takes_it_without_torch_in_a_process_of_its_own(saved):
    command = [sys.executable, "-X", "importtime", "-m", "bnexport", "convert", "net.pt"]
    command += ["--allow", "nets", "--input", "Nx3x8x8", "--proof", "quick", "--cache", "kept"]
    run = {"capture_output": True, "text": True, "check": True, "cwd": saved.parent}
    first = subprocess.run([*command, "-o", "a.onnx"], **run)
    assert "checks passed" in first.stdout
    for name in saved.parent.glob("a.onnx*"):
        name.unlink()
    again = subprocess.run([*command, "-o", "a.onnx"], **run)
    assert "unchanged; --force" in again.stdout
    onnx.checker.check_model(onnx.load(saved.parent / "a.onnx"))
    imported = {line.rpartition("|")[2].strip() for line in again.stderr.splitlines()}
    assert not imported & {"torch", "onnx", "onnxruntime", "numpy"}
