"""Which road a conversion takes, and when it turns back."""

from __future__ import annotations

import importlib

import numpy as np
import onnx_ir as ir
import pytest
import torch
from torch import nn

import bnexport
from bnexport import attempt
from bnexport.errors import ExportError
from bnexport.roads import PROOFS


class Net(nn.Module):
    def __init__(self, branches=False):
        super().__init__()
        self.conv, self.norm, self.branches = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), branches
        self.norm.running_mean.normal_()

    def forward(self, x):
        y = self.norm(self.conv(x))
        return y * (2 if self.branches and x.shape[0] > 100 else 1)


def convert(tmp_path, module, **options):
    torch.manual_seed(0)
    given = {"inputs": ["Nx3x8x8"], "batch": (1, 2), "proof": "quick", **options}
    return bnexport.convert(module.eval(), tmp_path / "net.onnx", **given)


def road(conversion):
    return conversion.document["options"]["capture"]


def test_what_the_recorder_is_sure_of_goes_the_fast_road(tmp_path):
    conversion = convert(tmp_path, Net())
    assert road(conversion) == "fast"
    assert not any("captured" in note for note in conversion.document["notes"])


def test_what_it_is_not_sure_of_goes_the_slow_one_and_says_why(tmp_path):
    conversion = convert(tmp_path, Net(branches=True))
    assert road(conversion) == "export"
    note = "captured by torch.export: it branches on the batch size"
    assert note in conversion.document["notes"]


def test_the_fast_road_alone_is_an_error_where_it_is_not_sure(tmp_path):
    with pytest.raises(ExportError, match="the fast capture is not sure") as error:
        convert(tmp_path, Net(branches=True), capture="fast")
    assert "--capture fast" in error.value.remedy
    assert not list(tmp_path.iterdir())


def test_the_slow_road_can_be_asked_for(tmp_path):
    assert road(convert(tmp_path, Net(), capture="export")) == "export"


@pytest.fixture
def wrong(monkeypatch):
    """A recorder that writes a weight wrongly."""
    translate = importlib.import_module("bnexport.capture.tape.translate")
    real = translate.translate

    def written(*args):
        model = real(*args)
        value = next(v for v in model.graph.initializers.values() if v.name.endswith("conv.weight"))
        value.const_value = ir.tensor(value.const_value.numpy() * np.float32(1.1), name=value.name)
        return model

    monkeypatch.setattr(translate, "translate", written)


@pytest.mark.parametrize("proof", PROOFS)
def test_what_does_not_verify_is_captured_again(tmp_path, wrong, proof):
    conversion = convert(tmp_path, Net(), proof=proof)
    assert conversion.ok
    assert road(conversion) == "export"
    note = "captured by torch.export: what the fast capture made did not verify"
    assert note in conversion.document["notes"]


@pytest.mark.parametrize("proof", PROOFS)
def test_every_proof_finds_a_wrong_file(tmp_path, wrong, proof):
    with pytest.raises(bnexport.ConversionFailed):
        convert(tmp_path, Net(), proof=proof, capture="fast")
    assert not list(tmp_path.iterdir())


def test_what_cannot_be_written_is_captured_again(tmp_path, monkeypatch):
    real, seen = attempt.rewrite, []

    def rewrite(model, known, *, computed, **options):
        seen.append(computed)
        if computed:
            raise ExportError("pass Fold refused the graph")
        return real(model, known, computed=computed, **options)

    monkeypatch.setattr(attempt, "rewrite", rewrite)
    assert road(convert(tmp_path, Net())) == "export"
    assert seen == [True, False]
    with pytest.raises(ExportError, match="pass Fold"):
        convert(tmp_path, Net(), capture="fast")


@pytest.mark.parametrize("option", [{"capture": "slow"}, {"proof": "none"}])
def test_an_unknown_road_or_proof_is_told(tmp_path, option):
    with pytest.raises(bnexport.UsageError, match="there is no such"):
        convert(tmp_path, Net(), **option)


def test_the_quick_proof_says_what_it_leaves_out(tmp_path):
    skipped = {each.runtime for each in convert(tmp_path, Net()).parity.skipped}
    assert skipped == {"float64 reference", "inputs of other sizes", "batch invariance"}
