"""Whole benchmarks of small models; of no time is anything asserted but that it is one."""

import json
import os
import shutil

import pytest
import torch
from torch import nn

import bnexport
from bnexport import UsageError, bench
from bnexport.bench import Unfit
from bnexport.errors import MissingRuntime, Refused
from bnexport.parity.runner import FrozenBatch, RunFailed
from models import audio1d, siamese

QUICK = {"rounds": 6, "warmup": 0, "threads": 1}
FILES = {**QUICK, "runtimes": ("ort",)}
no_gpu = pytest.mark.skipif(torch.cuda.is_available(), reason="refused only without a GPU")


def test_files_side_by_side(one, two):
    found = bench([one, two], batch=(1, 4), **QUICK, runtimes=("ort", "ort-plain"))
    told = [(r.participant.model, r.participant.runtime, r.batch) for r in found.results]
    each = [
        ("one.onnx", "ort"),
        ("one.onnx", "ort-plain"),
        ("two.onnx", "ort"),
        ("two.onnx", "ort-plain"),
    ]
    assert told == [(*who, batch) for batch in (1, 4) for who in each]
    assert all(len(r.times) == 6 and r.latency.median > 0 for r in found.results)


def test_the_ratio_is_to_the_first_at_the_same_batch(one, two):
    found = bench([one, two], batch=(1, 4), **FILES)
    assert [r.ratio is None for r in found.results] == [True, False, True, False]
    assert all(r.ratio.low <= r.ratio.median <= r.ratio.high for r in found.results if r.ratio)


def test_throughput_is_of_the_samples(one):
    (result,) = bench(one, batch=(4,), **FILES).results
    assert result.samples_per_second == pytest.approx(4 / result.latency.median)
    assert result.outputs == {"y": (4, 3)}


def test_a_module_and_the_file_that_was_made_of_it(tmp_path):
    net = audio1d.build(0)
    made = bnexport.convert(net, tmp_path / "net.onnx", inputs=audio1d.INPUT, batch=(1, 2))
    found = bench([net, made.path], **QUICK, runtimes=("torch", "ort"))
    assert [r.participant.title.split()[0] for r in found.results] == ["PyTorch", "ONNX"]
    assert found.inputs["specs"][0]["name"] == "wave"


def test_the_callers_module_and_settings_stay():
    net = audio1d.build(0).train()
    threads, state = torch.get_num_threads(), torch.get_rng_state()
    bench(net, inputs=audio1d.INPUT, runtimes=("torch",), rounds=1, threads=1)
    assert net.training
    assert torch.get_num_threads() == threads
    assert torch.equal(torch.get_rng_state(), state)


def test_several_inputs_go_to_their_names():
    found = bench(siamese.build(0), inputs=siamese.INPUT, runtimes=("torch",), **QUICK)
    assert len(found.inputs["specs"]) == len(siamese.INPUT) > 1


def test_an_exported_program_needs_no_trust(tmp_path):
    net = nn.Sequential(nn.Linear(3, 3), nn.ReLU()).eval()
    batch = torch.export.Dim("batch")
    program = torch.export.export(net, (torch.randn(2, 3),), dynamic_shapes=({0: batch},))
    torch.export.save(program, tmp_path / "net.pt2")
    (result,) = bench(tmp_path / "net.pt2", runtimes=("torch",), batch=(5,), **QUICK).results
    assert result.outputs == {"output": (5, 3)}


def test_torchscript_is_run_when_it_is_trusted(tmp_path):
    path = tmp_path / "net.ts"
    torch.jit.script(nn.Linear(3, 3)).save(path)
    with pytest.raises(Refused, match="TorchScript"):
        bench(path, inputs=["Nx3"], runtimes=("torch",), **QUICK)
    found = bench(path, inputs=["Nx3"], runtimes=("torch",), trust_torchscript=True, **QUICK)
    assert [r.participant.model for r in found.results] == ["net.ts"]


def test_an_architecture_stands_before_the_files(tmp_path, one):
    arch = {"arch": "torch.nn:Linear", "arch_args": {"in_features": 3, "out_features": 3}}
    found = bench(one, **arch, runtimes=("torch", "ort"), **QUICK)
    assert [r.participant.model for r in found.results] == ["torch.nn:Linear", "one.onnx"]


def test_an_architecture_is_for_the_weights_among_the_files(tmp_path, one):
    torch.save(nn.Linear(3, 3).state_dict(), tmp_path / "w.pt")
    arch = {"arch": "torch.nn:Linear", "arch_args": {"in_features": 3, "out_features": 3}}
    found = bench([one, tmp_path / "w.pt"], **arch, runtimes=("torch", "ort"), **QUICK)
    assert [r.participant.model for r in found.results] == ["one.onnx", "w.pt"]


@pytest.mark.slow
@pytest.mark.skipif(
    not shutil.which(os.environ.get("CXX", "g++")), reason="torch.compile needs a C++ compiler"
)
def test_compiled_beside_eager():
    net = nn.Sequential(nn.Linear(3, 3), nn.ReLU())
    found = bench(net, runtimes=("torch", "torch-compile"), batch=(2, 3), **QUICK)
    assert [r.outputs["output"] for r in found.results] == [(2, 3), (2, 3), (3, 3), (3, 3)]


def test_nan_is_named(one, nan):
    with pytest.raises(Unfit, match=r"nan\.onnx in ort cannot be timed: .*'y' are NaN or Inf"):
        bench([one, nan], batch=(8,), **FILES)


def test_another_shape_is_named(one, narrow):
    with pytest.raises(Unfit, match=r"narrow\.onnx in ort .* against one\.onnx in ort"):
        bench([one, narrow], **FILES)


def test_a_frozen_batch_is_an_error(one, save):
    frozen = save("single.onnx", FROZEN_AT_ONE)
    assert len(bench([one, frozen], batch=(1,), **FILES).results) == 2
    with pytest.raises(FrozenBatch, match="a batch of 1 alone"):
        bench([one, frozen], batch=(1, 8), **FILES)


FROZEN_AT_ONE = """<ir_version: 8, opset_import: ["" : 18]>
g (float[1,3] x) => (float[1,3] y) {y = Relu(x)}"""


def test_a_model_without_a_free_batch_is_run_as_it_is(frozen):
    (result,) = bench(frozen, **FILES).results
    assert result.samples == 4


@no_gpu
def test_what_is_asked_for_and_cannot_run_is_an_error(one):
    with pytest.raises(MissingRuntime, match="ort-cuda"):
        bench(one, runtimes=("ort", "ort-cuda"), **QUICK)


def test_a_compiler_that_fails_is_skipped_unless_it_is_asked_for(monkeypatch):
    def broken(*arguments, **options):
        raise RuntimeError("no working C++ compiler")

    monkeypatch.setattr(torch, "compile", broken)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    found = bench(nn.Linear(3, 3), inputs=["Nx3"], **QUICK)
    assert found.skipped == (("linear", "torch-compile", "no working C++ compiler"),)
    with pytest.raises(RunFailed, match=r"no working C\+\+ compiler"):
        bench(nn.Linear(3, 3), inputs=["Nx3"], runtimes=("torch", "torch-compile"), **QUICK)


@pytest.mark.parametrize(
    "options",
    [
        {"rounds": 0},
        {"seconds": 0.0},
        {"warmup": -1},
        {"threads": 0},
        {"batch": ()},
        {"inputs": ["Nx3"], "inputs_from": "x.npz"},
        {"inputs": ["nonsense"]},
        {"runtimes": ("tflite",)},
    ],
)
def test_an_option_that_makes_no_sense_is_a_usage_error(one, options):
    with pytest.raises(UsageError):
        bench(one, **{"rounds": 1, **options})


def test_no_model_is_a_usage_error():
    with pytest.raises(UsageError, match="no model"):
        bench([])


def test_the_document_is_json(one, two):
    found = json.loads(json.dumps(bench([one, two], batch=(1, 2), seed=7, **FILES).to_json()))
    assert found["schema"] == "bnexport.bench/1"
    assert found["settings"]["batch"] == [1, 2]
    assert (found["settings"]["threads"], found["settings"]["seed"]) == (1, 7)
    assert [each["model"] for each in found["participants"]] == ["one.onnx", "two.onnx"]
    assert [each["participant"] for each in found["results"]] == [0, 1, 0, 1]
    assert {"torch", "onnxruntime"} <= set(found["versions"])
    assert found["device"]["cores"] >= 1


def test_the_document_tells_how_the_times_are_spread(one):
    (result,) = bench(one, **FILES).to_json()["results"]
    shares, times = zip(*result["quantiles_ms"], strict=True)
    assert (shares[0], shares[-1]) == (0, 100)
    assert list(times) == sorted(times)
    assert (times[0], times[-1]) == (result["latency_ms"]["least"], result["latency_ms"]["most"])
