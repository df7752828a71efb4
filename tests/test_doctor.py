"""Doctor: each state of a library gives its finding, and nothing that is broken stops it."""

from importlib import metadata

import pytest

from bnexport import doctor
from bnexport.doctor import diagnose
from bnexport.probes import Outcome

ABSENT = Outcome(error="ModuleNotFoundError: No module named 'it'", absent=True)
CRASHED = Outcome(error="its import ended Python (SIGSEGV)")
HEALTHY = {
    "torch": Outcome(
        {"version": "2.13.0", "cuda": "13.0", "available": True, "device": "NVIDIA L4"}
    ),
    "onnx": Outcome(),
    "onnx-ir": Outcome(),
    "onnxscript": Outcome(),
    "onnxsim": Outcome(),
    "onnxruntime": Outcome({"version": "1.32.0", "providers": []}),
    "tensorrt": Outcome({"version": "10.9", "builds": True}),
    "tensorrt-rtx": Outcome({"version": "1.7", "targets": [80, 89]}),
    "CUDA driver": Outcome({"obstacle": "", "gpu": "NVIDIA L4 (sm_89)"}),
}
NO_GPU = Outcome({"obstacle": "no CUDA device", "gpu": ""})
INSTALLED = {"onnx", "onnx-ir", "onnxscript", "onnxsim", "onnxruntime", "torch", "tensorrt-rtx"}


@pytest.fixture
def findings(monkeypatch):
    """The findings by subject, with some outcomes and the installed distributions changed."""

    def findings(installed=INSTALLED, **changed):
        def version(name):
            if name not in installed:
                raise metadata.PackageNotFoundError(name)
            return "1.0"

        outcomes = HEALTHY | {name.replace("_", "-"): o for name, o in changed.items()}
        outcomes["CUDA driver"] = changed.get("driver", outcomes["CUDA driver"])
        monkeypatch.setattr(metadata, "version", version)
        monkeypatch.setattr(doctor, "run_probes", lambda: outcomes)
        return {found.subject: found for found in diagnose()}

    return findings


def test_a_healthy_machine(findings):
    found = findings()
    assert {f.status for name, f in found.items() if name != "polygraphy"} == {"ok"}
    assert found["torch"].detail == "2.13.0, CUDA 13.0: NVIDIA L4"
    assert found["tensorrt"].detail == "10.9, builds for NVIDIA L4 (sm_89)"


@pytest.mark.parametrize("name", [name for name in HEALTHY if name != "CUDA driver"])
def test_a_crash_at_import_is_broken_with_a_remedy(findings, name):
    found = findings(**{name: CRASHED})[name]
    assert (found.status, found.detail) == ("broken", CRASHED.error)
    assert found.remedy.startswith("pip ")


def test_a_driver_that_crashes_is_broken(findings):
    assert findings(driver=CRASHED)["CUDA driver"].status == "broken"


@pytest.mark.parametrize("name", ["tensorrt", "tensorrt-rtx", "onnxruntime"])
def test_what_is_not_installed_is_missing(findings, name):
    found = findings(installed=set(), **{name: ABSENT})[name]
    assert found.status == "missing"
    assert "bnexport[" in found.remedy


def test_a_distribution_without_its_module_is_broken(findings):
    assert findings(installed={"onnxruntime"}, onnxruntime=ABSENT)["onnxruntime"].status == "broken"


def test_two_onnxruntimes_clash(findings):
    found = findings(installed=INSTALLED | {"onnxruntime-gpu"})["onnxruntime"]
    assert found.status == "clash"
    assert "onnxruntime and onnxruntime-gpu" in found.detail
    assert found.remedy == (
        'pip uninstall -y onnxruntime onnxruntime-gpu && pip install "bnexport[gpu]"'
    )


@pytest.mark.parametrize(("cuda", "status"), [(True, "ok"), (False, "missing")])
def test_the_cuda_provider_has_a_finding_of_its_own(findings, cuda, status):
    outcome = Outcome({"version": "1.31", "providers": [], "cuda": cuda, "cuda_error": "no cuDNN"})
    found = findings(onnxruntime=outcome)["onnxruntime CUDA"]
    assert found.status == status
    assert cuda or "no cuDNN" in found.detail


def test_tensorrt_without_a_gpu_points_to_rtx(findings):
    found = findings(driver=NO_GPU)
    assert found["tensorrt"].remedy == "Use --target trt-rtx"
    assert found["tensorrt-rtx"].detail == "1.7, builds for sm_80, sm_89; without a GPU"
    assert found["CUDA driver"].status == "missing"


def test_a_runtime_only_tensorrt_is_broken(findings):
    lean = Outcome({"version": "10.9", "builds": False})
    assert findings(tensorrt=lean)["tensorrt"].status == "broken"


def test_this_machine_is_diagnosed():
    found = {finding.subject: finding for finding in diagnose()}
    assert found["python"].status == found["torch"].status == found["onnx"].status == "ok"
