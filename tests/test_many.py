"""Several models in one call."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import bnexport
from bnexport import isolation
from bnexport.isolation import scope


def net(seed: int) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU()).eval()


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


COMMON = {"inputs": ["Nx3x8x8"], "proof": "quick"}


def test_each_is_converted_with_what_is_common_and_what_is_its_own():
    torch.save(net(0), "a.pt")
    models = ["a.pt", {"model": net(1), "output": "b.onnx", "batch": (1, 3)}]
    first, second = bnexport.convert_many(models, **COMMON)
    assert first.conversion.path.name == "a.onnx"
    assert first.model == "a.pt"
    assert second.conversion.path.name == "b.onnx"
    assert second.conversion.parity.batches == (1, 3)


def test_one_that_fails_leaves_the_others():
    sick = net(0)
    sick[1].running_var.fill_(float("nan"))
    models = [{"model": net(n), "output": f"{n}.onnx"} for n in (0, 1)]
    models.insert(1, {"model": sick, "output": "sick.onnx"})
    outcomes = bnexport.convert_many(models, **COMMON)
    assert [outcome.ok for outcome in outcomes] == [True, False, True]
    assert isinstance(outcomes[1].error, bnexport.Refused)
    assert outcomes[1].conversion is None


def test_one_worker_serves_all(monkeypatch):
    made = bnexport.convert(net(0), "given.onnx", **COMMON).path
    workers = []

    class Counted(scope.Worker):
        def __init__(self, settings):
            workers.append(self)
            super().__init__(settings)

    monkeypatch.setattr(scope, "Worker", Counted)
    models = [{"model": made, "output": f"{n}.onnx"} for n in range(3)]
    assert all(outcome.ok for outcome in bnexport.convert_many(models, proof="quick"))
    assert len(workers) == 1
    assert isolation.current() is None


def test_a_file_of_somebody_elses_does_not_isolate_the_next(monkeypatch):
    made = bnexport.convert(net(0), "given.onnx", **COMMON).path
    seen = []
    real = bnexport.many.convert

    def convert(model, **options):
        seen.append(isolation.current().foreign)
        return real(model, **options)

    monkeypatch.setattr(bnexport.many, "convert", convert)
    bnexport.convert_many(
        [{"model": made, "output": "x.onnx"}, net(1)], **COMMON | {"inputs": None}
    )
    assert seen == [False, False]


@pytest.mark.parametrize(
    ("models", "what"),
    [
        ([net(0), net(1)], "sequential.onnx would be written twice"),
        ([{"model": net(0), "isolation": None}], "isolation of one model"),
    ],
)
def test_what_cannot_be_meant_is_told_before_any_work(models, what, tmp_path):
    with pytest.raises(bnexport.UsageError, match=what):
        bnexport.convert_many(models, **COMMON)
    assert not list(tmp_path.iterdir())
