"""Import a library in a process of its own: one that crashes or hangs is then a finding, no more."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["PROBES", "Outcome", "run_probes"]

_TIMEOUT = 120.0
_MARK = "bnexport-probe:"

# The body of each probe fills `facts`; what it raises becomes the error.
_SESSION = """
import onnx.parser, onnxruntime as ort
facts["version"], facts["providers"] = ort.__version__, ort.get_available_providers()
model = onnx.parser.parse_model(
    '<ir_version: 8, opset_import: ["" : 17]> g (float[1] x) => (float[1] y) { y = Relu (x) }'
).SerializeToString()
options = ort.SessionOptions()
options.log_severity_level = 4
ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
if "CUDAExecutionProvider" in facts["providers"]:
    if hasattr(ort, "preload_dlls"):
        ort.preload_dlls()
    options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
    try:
        session = ort.InferenceSession(model, options, providers=["CUDAExecutionProvider"])
        facts["cuda"] = "CUDAExecutionProvider" in session.get_providers()
    except Exception as error:
        facts["cuda"], facts["cuda_error"] = False, str(error)
"""
_TORCH = """
import torch
facts["version"], facts["cuda"] = torch.__version__, torch.version.cuda
facts["available"] = torch.cuda.is_available()
facts["device"] = torch.cuda.get_device_name(0) if facts["available"] else ""
"""
_TENSORRT = """
import tensorrt
facts["version"], facts["builds"] = tensorrt.__version__, hasattr(tensorrt, "Builder")
"""
_RTX = """
import tensorrt_rtx as trt
facts["version"] = trt.__version__
class Logger(trt.ILogger):
    def __init__(self):
        trt.ILogger.__init__(self)
    def log(self, severity, text):
        pass
logger = Logger()
trt.Builder(logger)
members = trt.ComputeCapability.__members__
facts["targets"] = sorted(int(name[2:]) for name in members if name.startswith("SM"))
"""
_DRIVER = """
from bnexport.targets.cuda import find_gpu
gpu = find_gpu()
facts["obstacle"] = gpu if isinstance(gpu, str) else ""
facts["gpu"] = "" if isinstance(gpu, str) else f"{gpu.name} ({gpu.target})"
"""

PROBES: Mapping[str, str] = {
    "torch": _TORCH,
    "onnx": "import onnx, onnx.checker",
    "onnx-ir": "import onnx_ir",
    "onnxscript": "import onnxscript",
    "onnxsim": "import onnxsim",
    "onnxruntime": _SESSION,
    "tensorrt": _TENSORRT,
    "tensorrt-rtx": _RTX,
    "CUDA driver": _DRIVER,
}


@dataclass(frozen=True)
class Outcome:
    """What came of a probe.

    Attributes:
        facts: What it found before it ended.
        error: Why it failed, in one line; empty when it did not.
        absent: Whether it failed because the library is not installed.
    """

    facts: dict[str, Any] = field(default_factory=dict)
    error: str = ""
    absent: bool = False


def run_probes(probes: Mapping[str, str] = PROBES, timeout: float = _TIMEOUT) -> dict[str, Outcome]:
    """Run every probe, all at once."""
    running = {name: _start(body) for name, body in probes.items()}
    return {name: _outcome(process, timeout) for name, process in running.items()}


def _start(body: str) -> subprocess.Popen[str]:
    lines = "\n".join(f"    {line}" for line in body.strip().splitlines())
    code = (
        "import json\n"
        "facts, failure, absent = {}, '', False\n"
        f"try:\n{lines}\n"
        "except BaseException as error:\n"
        "    failure = f'{type(error).__name__}: {error}'\n"
        "    absent = isinstance(error, ModuleNotFoundError)\n"
        f"print('\\n{_MARK}' + json.dumps([facts, failure, absent]), flush=True)\n"
    )
    pipe, null = subprocess.PIPE, subprocess.DEVNULL
    command = [sys.executable, "-P", "-c", code]  # -P: not what lies in the current folder
    return subprocess.Popen(command, stdin=null, stdout=pipe, stderr=null, text=True)


def _outcome(process: subprocess.Popen[str], timeout: float) -> Outcome:
    try:
        output, _ = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        return Outcome(error=f"its import did not end in {timeout:.0f} s")
    said = output.rpartition(_MARK)[2] if _MARK in output else ""
    if not said:
        return Outcome(error=f"its import ended Python ({_ending(process.returncode)})")
    facts, error, absent = json.loads(said.splitlines()[0])
    return Outcome(facts, " ".join(error.split()), absent)


def _ending(code: int) -> str:
    try:
        return signal.Signals(-code).name if code < 0 else f"exit code {code}"
    except ValueError:
        return f"signal {-code}"
