"""Which GPUs an engine is for: those named, else the one here, else the portable set."""

from types import SimpleNamespace

import pytest

from bnexport.errors import UsageError
from bnexport.targets.cuda import Gpu
from bnexport.targets.tensorrt import EngineOptions, Flavour, options
from bnexport.targets.tensorrt.options import choose_targets

MEMBERS = dict.fromkeys(["NONE", "CURRENT", "SM75", "SM80", "SM86", "SM89", "SM120"])
RTX = Flavour(
    "tensorrt_rtx",
    "1.7",
    True,
    SimpleNamespace(ComputeCapability=SimpleNamespace(__members__=MEMBERS)),
)
FULL = Flavour("tensorrt", "10.9", False, SimpleNamespace())
ADA, HOPPER = Gpu("NVIDIA L4", 89), Gpu("NVIDIA H200", 90)


def choose(monkeypatch, flavour, gpu, *sm):
    monkeypatch.setattr(options, "find_gpu", lambda: gpu)
    return choose_targets(flavour, EngineOptions((1, 1, 1), sm=sm))


def test_named_targets_are_taken_without_a_word(monkeypatch):
    targets = choose(monkeypatch, RTX, "no CUDA device", 120, 89, 89)
    assert (targets.names, targets.assumed) == (("sm_120", "sm_89"), "")


def test_the_gpu_that_is_here_is_the_default(monkeypatch):
    targets = choose(monkeypatch, RTX, ADA)
    assert targets.names == ("sm_89",)
    assert targets.assumed == (
        "engine for the GPU here: NVIDIA L4 (sm_89); choose others with --sm"
    )


def test_without_a_gpu_the_portable_set_is_the_default(monkeypatch):
    targets = choose(monkeypatch, RTX, "no CUDA device")
    assert targets.capabilities == (80, 86, 89, 120)
    assert targets.assumed == (
        "no CUDA device: engine for sm_80, sm_86, sm_89, sm_120; choose others with --sm"
    )


def test_a_gpu_that_rtx_does_not_know_is_named(monkeypatch):
    targets = choose(monkeypatch, RTX, HOPPER)
    assert targets.capabilities == (80, 86, 89, 120)
    assert "does not build for NVIDIA H200 (sm_90)" in targets.assumed


def test_tensorrt_builds_for_the_gpu_that_is_here(monkeypatch):
    assert choose(monkeypatch, FULL, HOPPER).names == ("sm_90",)
    assert choose(monkeypatch, FULL, HOPPER, 90).assumed == ""


def test_tensorrt_for_another_gpu_is_refused(monkeypatch):
    with pytest.raises(UsageError, match="--target trt-rtx"):
        choose(monkeypatch, FULL, HOPPER, 89)


def test_tensorrt_without_a_gpu_is_refused(monkeypatch):
    with pytest.raises(UsageError, match="no CUDA device"):
        choose(monkeypatch, FULL, "no CUDA device")


@pytest.mark.parametrize("batch", [(0, 1, 1), (2, 1, 4), (1, 8, 4)])
def test_a_batch_range_must_rise_from_one(batch):
    with pytest.raises(UsageError, match="batch"):
        EngineOptions(batch)


@pytest.mark.parametrize("wrong", [{"workspace_mib": 0}, {"optimisation_level": 6}])
def test_numbers_have_their_range(wrong):
    with pytest.raises(UsageError, match="must be"):
        EngineOptions((1, 1, 1), **wrong)
