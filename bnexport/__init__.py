"""bnexport: trained PyTorch models to ONNX and TensorRT, BatchNorm folded, agreement proved."""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bnexport.bench import Benchmark, bench
    from bnexport.compare import verify
    from bnexport.conversion import Conversion, ConversionFailed
    from bnexport.convert import convert
    from bnexport.data import DataOptions, ImageOptions
    from bnexport.drift import Drift, DriftMonitor, DriftState, LayerDrift, TapMonitor, drift
    from bnexport.errors import (
        BnexportError,
        ExportError,
        MissingRuntime,
        NativeFailure,
        OutputError,
        ParityFailure,
        Refused,
        UsageError,
    )
    from bnexport.events import Event
    from bnexport.fold import fold
    from bnexport.freezing import FrozenBatchNorms, freeze_batch_norm
    from bnexport.health.checkup import UnhealthyBatchNorm, check_batch_norm
    from bnexport.health.findings import Finding
    from bnexport.inputs import Examples, InputSpec
    from bnexport.isolation import Isolation
    from bnexport.ledger import Ledger, LedgerRow
    from bnexport.load import load
    from bnexport.load.limits import Limits
    from bnexport.load.loaded import Loaded
    from bnexport.many import Outcome, convert_many
    from bnexport.parity.result import Check, Parity, Skipped
    from bnexport.passes.modules import eval_mode, revert_sync_batchnorm
    from bnexport.ranks import RankComparison, compare_ranks
    from bnexport.recalibrate import Recalibration, recalibrate
    from bnexport.run import Ran, run
    from bnexport.serving import EvalOnly
    from bnexport.targets.tensorrt import EngineOptions

__version__ = "0.1.0"

__all__ = [  # noqa: RUF022 (grouped by what they are)
    # the road, and its stations that stand alone
    "bench",
    "check_batch_norm",
    "compare_ranks",
    "convert",
    "convert_many",
    "drift",
    "eval_mode",
    "fold",
    "freeze_batch_norm",
    "load",
    "recalibrate",
    "revert_sync_batchnorm",
    "run",
    "verify",
    # what they take and return
    "Benchmark",
    "Check",
    "Conversion",
    "DataOptions",
    "Drift",
    "DriftMonitor",
    "DriftState",
    "EngineOptions",
    "EvalOnly",
    "Event",
    "Examples",
    "Finding",
    "FrozenBatchNorms",
    "ImageOptions",
    "InputSpec",
    "Isolation",
    "LayerDrift",
    "Ledger",
    "LedgerRow",
    "Limits",
    "Loaded",
    "Outcome",
    "Parity",
    "Ran",
    "RankComparison",
    "Recalibration",
    "Skipped",
    "TapMonitor",
    # what they raise
    "BnexportError",
    "ConversionFailed",
    "ExportError",
    "MissingRuntime",
    "NativeFailure",
    "OutputError",
    "ParityFailure",
    "Refused",
    "UnhealthyBatchNorm",
    "UsageError",
    # the version
    "__version__",
]

# Imported on first use: torch takes seconds, and `bnexport --help` does not need it.
_HOMES = {
    "bnexport.bench": ("Benchmark", "bench"),
    "bnexport.compare": ("verify",),
    "bnexport.conversion": ("Conversion", "ConversionFailed"),
    "bnexport.convert": ("convert",),
    "bnexport.data": ("DataOptions", "ImageOptions"),
    "bnexport.drift": ("Drift", "DriftMonitor", "DriftState", "LayerDrift", "TapMonitor", "drift"),
    "bnexport.errors": (
        "BnexportError",
        "ExportError",
        "MissingRuntime",
        "NativeFailure",
        "OutputError",
        "ParityFailure",
        "Refused",
        "UsageError",
    ),
    "bnexport.events": ("Event",),
    "bnexport.fold": ("fold",),
    "bnexport.freezing": ("FrozenBatchNorms", "freeze_batch_norm"),
    "bnexport.health.checkup": ("UnhealthyBatchNorm", "check_batch_norm"),
    "bnexport.health.findings": ("Finding",),
    "bnexport.inputs": ("Examples", "InputSpec"),
    "bnexport.isolation": ("Isolation",),
    "bnexport.ledger": ("Ledger", "LedgerRow"),
    "bnexport.load": ("load",),
    "bnexport.load.limits": ("Limits",),
    "bnexport.load.loaded": ("Loaded",),
    "bnexport.many": ("Outcome", "convert_many"),
    "bnexport.parity.result": ("Check", "Parity", "Skipped"),
    "bnexport.passes.modules": ("eval_mode", "revert_sync_batchnorm"),
    "bnexport.ranks": ("RankComparison", "compare_ranks"),
    "bnexport.recalibrate": ("Recalibration", "recalibrate"),
    "bnexport.run": ("Ran", "run"),
    "bnexport.serving": ("EvalOnly",),
    "bnexport.targets.tensorrt": ("EngineOptions",),
}
_HOME = {name: home for home, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(importlib.import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


class _Package(ModuleType):
    """A package in which importing the submodule ``load`` does not hide the function ``load``."""

    def __setattr__(self, name: str, value: object) -> None:
        if not (name in _HOME and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
