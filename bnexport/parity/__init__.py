"""The verify station: runtimes against a reference, and each sample against its neighbours."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bnexport.parity.arrays import Arrays
    from bnexport.parity.files import verify_files
    from bnexport.parity.onnx_runner import OnnxRunner, cuda_obstacle
    from bnexport.parity.reference import OnnxReference, Reference, reference_for
    from bnexport.parity.result import Check, Parity, Skipped
    from bnexport.parity.runner import RunFailed, Runner, label
    from bnexport.parity.torch_runner import ExportedRunner, TorchRunner, TorchScriptRunner
    from bnexport.parity.verify import verify_runners

__all__ = [
    "Arrays",
    "Check",
    "ExportedRunner",
    "OnnxReference",
    "OnnxRunner",
    "Parity",
    "Reference",
    "RunFailed",
    "Runner",
    "Skipped",
    "TorchRunner",
    "TorchScriptRunner",
    "cuda_obstacle",
    "label",
    "reference_for",
    "verify_files",
    "verify_runners",
]

# The report reads the verdicts' types without paying for torch and onnx.
_HOMES = {
    "arrays": ("Arrays",),
    "files": ("verify_files",),
    "onnx_runner": ("OnnxRunner", "cuda_obstacle"),
    "reference": ("OnnxReference", "Reference", "reference_for"),
    "result": ("Check", "Parity", "Skipped"),
    "runner": ("RunFailed", "Runner", "label"),
    "torch_runner": ("ExportedRunner", "TorchRunner", "TorchScriptRunner"),
    "verify": ("verify_runners",),
}


def __getattr__(name: str) -> object:
    for home, names in _HOMES.items():
        if name in names:
            return getattr(importlib.import_module(f"bnexport.parity.{home}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
