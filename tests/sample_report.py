"""A conversion that never was: the facts of a report, for tests of what is made of them."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

from bnexport.inputs import Examples, InputSpec
from bnexport.ledger import Ledger, LedgerRow
from bnexport.parity.result import Check, Parity, Skipped
from bnexport.report import Facts, OutputFile, PassRun, Size, Source

ROWS = (
    LedgerRow("stem.bn", "BatchNorm2d", 32, "absorbed", into="stem.conv"),
    LedgerRow("head.bn", "SyncBatchNorm", 64, "merged", into="neck.bn"),
    LedgerRow("tail.bn", "BatchNorm1d", 8, "kept", reason="its input is read by two others"),
    LedgerRow("aux.bn", "BatchNorm2d", 16, "unused", reason="no forward pass reaches it"),
)


def check(**changes: object) -> Check:
    """A check that passed."""
    passed = Check(
        runtime="ONNX Runtime 1.32.0 (cpu)",
        precision="float32",
        batch=8,
        kind="agreement",
        output="logits",
        max_abs=3e-6,
        relative=4e-7,
        yardstick=3e-7,
        limit=1.5e-6,
        worst=(0, 7),
        passed=True,
        ratio=0.27,
    )
    return replace(passed, **changes)  # type: ignore[arg-type]


def failed_check(**changes: object) -> Check:
    """A check that failed for a NaN."""
    detail = "ONNX Runtime has NaN at [0, 7] of output 'logits'"
    broken = check(max_abs=math.nan, relative=math.inf, ratio=math.inf, passed=False, detail=detail)
    return replace(broken, **changes)  # type: ignore[arg-type]


def parity(*checks: Check) -> Parity:
    """A verification, with one runtime skipped."""
    skipped = Skipped("tensorrt_rtx 1.7.1", "built for sm_89, not executed: no CUDA device")
    default = (check(batch=1), check(), check(kind="alone"), check(kind="neighbours"))
    reference = "PyTorch 2.13.0 eval mode, float64"
    return Parity(reference, checks or default, (skipped,), (1, 8), 5.0)


def facts(**changes: object) -> Facts:
    """Everything that a report says."""
    complete = Facts(
        source=Source(
            "resnet",
            "checkpoint",
            Path("in/resnet.pt"),
            "ab" * 32,
            ("stripped the prefix module.",),
        ),
        examples=Examples((InputSpec("x", (None, 3, 32, 32)),), assumed="x is Nx3x32x32"),
        targets=("onnx", "trt-rtx"),
        options={"batch": (1, 8), "sm": (89,), "atol": None},
        ledger=Ledger(ROWS),
        parity=parity(),
        before=Size(44_700_000, 312),
        after=Size(44_600_000, 153),
        passes=(PassRun("FoldConstants", True, 0.25, 312, 153),),
        files=(OutputFile(Path("out/resnet.onnx"), "onnx", 44_600_000, "cd" * 32),),
        notes=("1 SyncBatchNorm became BatchNorm2d",),
        seconds={"load": 0.5, "verify": 2.0},
    )
    return replace(complete, **changes)  # type: ignore[arg-type]
