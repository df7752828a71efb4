"""Which TensorRT: tensorrt, which needs a GPU to build, or tensorrt_rtx, which does not."""

from __future__ import annotations

import importlib
import importlib.util
from dataclasses import dataclass
from typing import Any

from bnexport.errors import MissingRuntime, UsageError
from bnexport.targets.cuda import Gpu, find_gpu

__all__ = ["Flavour", "find_flavour", "load_flavour"]

_TITLES = {"tensorrt": "TensorRT", "tensorrt_rtx": "TensorRT-RTX"}
_EXTRAS = {"tensorrt": "trt", "tensorrt_rtx": "rtx"}


@dataclass(frozen=True)
class Flavour:
    """One installed TensorRT.

    Attributes:
        name: ``tensorrt`` or ``tensorrt_rtx``.
        version: As the module gives it.
        rtx: Whether it builds for chosen compute capabilities, without a GPU.
        module: The Python bindings.
    """

    name: str
    version: str
    rtx: bool
    module: Any

    @property
    def title(self) -> str:
        """``TensorRT-RTX 1.7.1``, for messages."""
        return f"{_TITLES[self.name]} {self.version}"


def find_flavour(wanted: str) -> Flavour:
    """The TensorRT that a target names.

    Args:
        wanted: ``trt``: tensorrt where it is installed and there is a GPU, else tensorrt_rtx;
            ``trt-rtx``: tensorrt_rtx.

    Raises:
        MissingRuntime: It is not installed, or not usable here.
        UsageError: ``wanted`` is neither.
    """
    if wanted not in ("trt", "trt-rtx"):
        raise UsageError(f"target {wanted!r}", "is not a TensorRT target", "Known: trt, trt-rtx")
    if wanted == "trt-rtx":
        return load_flavour("tensorrt_rtx")
    gpu = find_gpu()
    obstacle = gpu if isinstance(gpu, str) else ""
    if not obstacle:
        try:
            return load_flavour("tensorrt")
        except MissingRuntime as error:
            obstacle = error.why
    elif importlib.util.find_spec("tensorrt") is None:
        obstacle = ""
    try:
        return load_flavour("tensorrt_rtx")
    except MissingRuntime as error:
        raise _neither(error, obstacle, gpu) from error


def load_flavour(name: str) -> Flavour:
    """Import one of the two.

    Raises:
        MissingRuntime: It cannot be imported, or holds no builder.
    """
    remedy = f'Type `pip install "bnexport[{_EXTRAS[name]}]"`'
    try:
        module = importlib.import_module(name)
    except ModuleNotFoundError as error:
        why = "it is not installed" if error.name == name else str(error)
        raise MissingRuntime(_TITLES[name], why, remedy) from error
    except Exception as error:  # a missing native library, a driver too old: any class
        why = f"it is installed and cannot be imported ({error})"
        raise MissingRuntime(_TITLES[name], why, remedy) from error
    if not hasattr(module, "Builder"):
        why = "what is installed can run engines but not build them"
        raise MissingRuntime(_TITLES[name], why, remedy)
    rtx = hasattr(module, "ComputeCapability")
    return Flavour(name, str(module.__version__), rtx, module)


def _neither(error: MissingRuntime, obstacle: str, gpu: Gpu | str) -> MissingRuntime:
    why = f"TensorRT-RTX: {error.why}"
    if obstacle and isinstance(gpu, str):
        why = f"tensorrt is installed but needs a GPU to build ({gpu}), and {why}"
    elif obstacle:
        why = f"TensorRT: {obstacle}; {why}"
    return MissingRuntime("no TensorRT to build with", why, error.remedy)
