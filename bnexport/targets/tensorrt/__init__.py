"""TensorRT engines, by tensorrt 10 and 11 and by tensorrt_rtx: one code path.

The three differ in what their modules hold. That is asked with ``hasattr``, never told from version
numbers or from integer values of enumerations, which moved between releases. Importing this package
imports none of them, nor torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bnexport.targets.tensorrt.builder import build_engine
    from bnexport.targets.tensorrt.engine import EngineRunner, can_run
    from bnexport.targets.tensorrt.flavour import Flavour, find_flavour, load_flavour
    from bnexport.targets.tensorrt.info import EngineInfo, TensorInfo
    from bnexport.targets.tensorrt.options import EngineOptions
    from bnexport.targets.tensorrt.sidecar import read_sidecar, write_sidecar

__all__ = [
    "EngineInfo",
    "EngineOptions",
    "EngineRunner",
    "Flavour",
    "TensorInfo",
    "build_engine",
    "can_run",
    "find_flavour",
    "load_flavour",
    "read_sidecar",
    "write_sidecar",
]

_HOMES = {
    "builder": ("build_engine",),
    "engine": ("EngineRunner", "can_run"),
    "flavour": ("Flavour", "find_flavour", "load_flavour"),
    "info": ("EngineInfo", "TensorInfo"),
    "options": ("EngineOptions",),
    "sidecar": ("read_sidecar", "write_sidecar"),
}
_HOME = {name: home for home, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = vars(importlib.import_module(f"{__name__}.{_HOME[name]}"))[name]
    globals()[name] = value
    return value
