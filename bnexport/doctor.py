"""Doctor: which runtimes are installed and usable here, and which packages are in each other's way."""

from __future__ import annotations

import platform
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from typing import Literal

from bnexport.probes import Outcome, run_probes

__all__ = ["Finding", "diagnose"]

Status = Literal["ok", "missing", "broken", "clash"]

_OLDEST_PYTHON = (3, 11)
_ONNXRUNTIMES = ("onnxruntime", "onnxruntime-gpu", "onnxruntime-directml", "onnxruntime-openvino")
_LIBRARIES = ("onnx", "onnx-ir", "onnxscript", "onnxsim")


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        subject: A library, or a part of the machine.
        status: ``ok``, ``missing``, ``broken`` or ``clash``.
        detail: What was found.
        remedy: What to type, where something can be mended.
    """

    subject: str
    status: Status
    detail: str
    remedy: str = ""


def diagnose() -> tuple[Finding, ...]:
    """Look at everything that bnexport can use; never raises for what is broken."""
    outcomes = run_probes()
    return (
        _python(),
        _torch(outcomes["torch"]),
        *(_library(name, outcomes[name]) for name in _LIBRARIES),
        *_onnxruntime(outcomes["onnxruntime"]),
        _driver(outcomes["CUDA driver"]),
        _tensorrt(outcomes["tensorrt"], outcomes["CUDA driver"]),
        _tensorrt_rtx(outcomes["tensorrt-rtx"], outcomes["CUDA driver"]),
        _polygraphy(),
    )


def _python() -> Finding:
    version = platform.python_version()
    if sys.version_info < _OLDEST_PYTHON:
        return Finding("python", "broken", version, "Install Python 3.11 or newer")
    return Finding("python", "ok", f"{version} ({platform.machine()})")


def _torch(outcome: Outcome) -> Finding:
    if outcome.error:
        return _failed("torch", outcome, "pip install --force-reinstall torch")
    facts = outcome.facts
    if not facts["cuda"]:
        return Finding("torch", "ok", f"{facts['version']}, built without CUDA")
    where = facts["device"] or "no CUDA device"
    return Finding("torch", "ok", f"{facts['version']}, CUDA {facts['cuda']}: {where}")


def _library(name: str, outcome: Outcome) -> Finding:
    if outcome.error:
        return _failed(name, outcome, f"pip install --force-reinstall {name}")
    return Finding(name, "ok", _version(name) or "of unknown version")


def _onnxruntime(outcome: Outcome) -> Iterator[Finding]:
    installed = [name for name in _ONNXRUNTIMES if _version(name)]
    if len(installed) > 1:
        detail = f"{' and '.join(installed)} are installed and overwrite each other's files"
        yield Finding("onnxruntime", "clash", detail, _reinstall(installed))
    if outcome.absent and not installed:
        remedy = 'pip install "bnexport[cpu]", or "bnexport[gpu]" for an NVIDIA GPU'
        yield Finding("onnxruntime", "missing", "not installed: nothing can be verified", remedy)
    elif outcome.error:
        yield Finding("onnxruntime", "broken", outcome.error, _reinstall(installed))
    elif len(installed) < 2:
        yield Finding("onnxruntime", "ok", f"{outcome.facts['version']}, CPU provider works")
    if "cuda" in outcome.facts:
        yield _cuda_provider(outcome)


def _cuda_provider(outcome: Outcome) -> Finding:
    subject = "onnxruntime CUDA"
    if outcome.facts["cuda"]:
        return Finding(subject, "ok", "CUDA provider works")
    why = outcome.facts.get("cuda_error") or "it falls back to the CPU"
    return Finding(
        subject, "missing", f"CUDA provider does not work: {' '.join(why.split())[:300]}"
    )


def _reinstall(installed: list[str]) -> str:
    extra = "gpu" if "onnxruntime-gpu" in installed else "cpu"
    names = " ".join(installed or ["onnxruntime"])
    return f'pip uninstall -y {names} && pip install "bnexport[{extra}]"'


def _driver(outcome: Outcome) -> Finding:
    if outcome.error:
        return Finding("CUDA driver", "broken", outcome.error, "Install the NVIDIA driver anew")
    if outcome.facts["obstacle"]:
        detail = f"{outcome.facts['obstacle']}: engines can be built by TensorRT-RTX, not run"
        return Finding("CUDA driver", "missing", detail)
    return Finding("CUDA driver", "ok", str(outcome.facts["gpu"]))


def _tensorrt(outcome: Outcome, driver: Outcome) -> Finding:
    install = 'pip install "bnexport[trt]"'
    if outcome.error:
        return _failed("tensorrt", outcome, install)
    version = outcome.facts["version"]
    if not outcome.facts["builds"]:
        return Finding("tensorrt", "broken", f"{version} runs engines, has no builder", install)
    if not driver.facts.get("gpu"):
        detail = f"{version}, which builds only where there is a GPU"
        return Finding("tensorrt", "missing", detail, "Use --target trt-rtx")
    return Finding("tensorrt", "ok", f"{version}, builds for {driver.facts['gpu']}")


def _tensorrt_rtx(outcome: Outcome, driver: Outcome) -> Finding:
    if outcome.error:
        return _failed("tensorrt-rtx", outcome, 'pip install "bnexport[rtx]"')
    targets = ", ".join(f"sm_{number}" for number in outcome.facts["targets"])
    gpu = driver.facts.get("gpu")
    where = f"here is {gpu}" if gpu else "without a GPU"
    return Finding(
        "tensorrt-rtx", "ok", f"{outcome.facts['version']}, builds for {targets}; {where}"
    )


def _polygraphy() -> Finding:
    version = _version("polygraphy")
    if version:
        return Finding("polygraphy", "ok", f"{version} (optional)")
    return Finding("polygraphy", "missing", "not installed (optional)")


def _failed(subject: str, outcome: Outcome, remedy: str) -> Finding:
    if outcome.absent and not _version(subject):
        return Finding(subject, "missing", "not installed", remedy)
    return Finding(subject, "broken", outcome.error[:300], remedy)


def _version(distribution: str) -> str:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return ""
