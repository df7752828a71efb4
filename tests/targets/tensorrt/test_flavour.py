"""Which TensorRT is used, and what is said when there is none."""

import importlib
import importlib.util
import sys
from types import ModuleType

import pytest

from bnexport.errors import MissingRuntime, UsageError
from bnexport.targets.cuda import Gpu
from bnexport.targets.tensorrt import find_flavour, flavour

FULL, RTX = "tensorrt", "tensorrt_rtx"


def module(name, *parts):
    made = ModuleType(name)
    made.__version__ = "9.9"
    for part in parts:
        setattr(made, part, object())
    return made


@pytest.fixture
def machine(monkeypatch):
    """A machine with the given GPU and modules; an exception in place of a module is its import."""

    def machine(gpu, **modules):
        def import_module(name):
            found = modules.get(name, ModuleNotFoundError(f"No module named {name!r}", name=name))
            if isinstance(found, Exception):
                raise found
            return found

        spec = importlib.util.find_spec
        monkeypatch.setattr(flavour, "find_gpu", lambda: gpu)
        monkeypatch.setattr(importlib, "import_module", import_module)
        monkeypatch.setattr(
            importlib.util,
            "find_spec",
            lambda name, *rest: modules.get(name) if name in (FULL, RTX) else spec(name, *rest),
        )

    return machine


GPU = Gpu("NVIDIA L4", 89)
BOTH = {FULL: module(FULL, "Builder"), RTX: module(RTX, "Builder", "ComputeCapability")}


def test_trt_is_tensorrt_where_there_is_a_gpu(machine):
    machine(GPU, **BOTH)
    found = find_flavour("trt")
    assert (found.name, found.rtx, found.title) == (FULL, False, "TensorRT 9.9")


def test_trt_is_rtx_without_a_gpu(machine):
    machine("no CUDA device", **BOTH)
    assert find_flavour("trt").name == RTX


def test_tensorrt_is_not_even_imported_without_a_gpu(machine):
    machine("no CUDA device", **(BOTH | {FULL: ImportError("must not be imported")}))
    assert find_flavour("trt").rtx


def test_trt_is_rtx_where_only_that_is_installed(machine):
    machine(GPU, tensorrt_rtx=BOTH[RTX])
    assert find_flavour("trt").name == RTX


def test_trt_rtx_is_rtx(machine):
    machine(GPU, **BOTH)
    assert find_flavour("trt-rtx").name == RTX


def test_nothing_installed_names_the_extra(machine):
    machine("no CUDA device")
    with pytest.raises(MissingRuntime, match=r'pip install "bnexport\[rtx\]"'):
        find_flavour("trt")


def test_tensorrt_without_a_gpu_is_explained(machine):
    machine("no CUDA driver", tensorrt=BOTH[FULL])
    with pytest.raises(MissingRuntime, match=r"needs a GPU to build \(no CUDA driver\)"):
        find_flavour("trt")


def test_a_broken_install_is_told_from_a_missing_one(machine):
    machine(GPU, tensorrt_rtx=OSError("libtensorrt_rtx.so: cannot open"))
    with pytest.raises(MissingRuntime, match=r"cannot be imported \(libtensorrt_rtx.so"):
        find_flavour("trt-rtx")


def test_a_runtime_without_a_builder_is_refused(machine):
    machine(GPU, tensorrt_rtx=module(RTX, "Runtime"))
    with pytest.raises(MissingRuntime, match="not build"):
        find_flavour("trt-rtx")


def test_other_targets_are_a_usage_error():
    with pytest.raises(UsageError, match="onnx"):
        find_flavour("onnx")


def test_importing_the_package_imports_no_tensorrt():
    import subprocess

    code = "import sys, bnexport.targets.tensorrt; print('tensorrt_rtx' in sys.modules)"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "False"
