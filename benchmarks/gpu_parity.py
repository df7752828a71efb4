"""On a GPU: PyTorch, ONNX Runtime and TensorRT against float64, over ``models/`` and four networks of timm.

    python benchmarks/gpu_parity.py [--only NETWORK ...] [--out FILE] [--anyway]

Each network is converted to ONNX and to an engine and verified at batch 1, 8 and 32 in whatever runs here: PyTorch
on CUDA, ONNX Runtime on CUDA and on TensorRT, the engine. What does not run is listed with its reason. Writes
``benchmarks/results/<device>-parity.json``; without a GPU it says so and writes nothing, unless ``--anyway``
asks for what runs on the processor (to try the script out; needs ``--out``).
"""

from __future__ import annotations

import argparse
import datetime
import importlib
import re
import sys
import tempfile
import time
from collections.abc import Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

import torch
from torch import nn
from zoo import network

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import bnexport  # noqa: E402
from bnexport.errors import BnexportError  # noqa: E402
from bnexport.events import silent  # noqa: E402
from bnexport.inputs import parse_input  # noqa: E402
from bnexport.load import load  # noqa: E402
from bnexport.parity import Parity, TorchRunner, verify_runners  # noqa: E402
from bnexport.parity.runtimes import RUNTIMES, obstacle  # noqa: E402
from bnexport.report.document import dumps, versions  # noqa: E402
from bnexport.subject import intended  # noqa: E402
from bnexport.targets.cuda import Gpu, find_gpu  # noqa: E402
from bnexport.targets.tensorrt import find_flavour  # noqa: E402

BATCHES = (1, 8, 32)
OWN = ("audio1d", "depthwise_mobile", "residual_classifier", "siamese", "sync_unet")
TIMM = ("resnet50", "mobilenetv3_small_100", "efficientnet_b0", "convnext_atto")
RESULTS = Path(__file__).parent / "results"
KEPT = "runtime", "precision", "batch", "kind", "output", "inputs", "ratio", "relative", "passed"

Row = dict[str, Any]


def main() -> int:
    """Verify, print a line a network, and write the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="+", default=[*OWN, *TIMM], metavar="NETWORK")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--anyway", action="store_true", help="run what runs without a GPU")
    given = parser.parse_args()
    gpu = find_gpu()
    if isinstance(gpu, str) and not given.anyway:
        print(f"skipped: {gpu}")
        return 0
    if given.anyway and given.out is None:
        parser.error("--anyway needs --out")
    served, absent = _served()
    targets, without = _targets()
    absent |= without
    for part, reason in absent.items():
        print(f"not here: {part}: {reason}")
    rows = [_row(name, served, targets) for name in given.only]
    failed = [row["network"] for row in rows if row["failed"]]
    result = {
        "command": "python benchmarks/gpu_parity.py",
        "date": datetime.date.today().isoformat(),
        "device": gpu.name if isinstance(gpu, Gpu) else gpu,
        "capability": gpu.target if isinstance(gpu, Gpu) else None,
        "batches": BATCHES,
        "runtimes": served,
        "targets": targets,
        "not here": absent,
        "failed": failed,
        "rows": rows,
        "versions": versions(),
    }
    out = given.out or RESULTS / f"{_slug(result['device'])}-parity.json"
    out.write_text(dumps(result) + "\n")
    print(f"{len(rows)} networks, failed: {failed or 'none'}; wrote {out}")
    return bool(failed)


def _served() -> tuple[list[str], dict[str, str]]:
    """The ways of ONNX Runtime that can be tried here, and why the others cannot."""
    reasons = {name: obstacle(name) for name in RUNTIMES}
    absent = {name: reason for name, reason in reasons.items() if reason}
    return [name for name in RUNTIMES if name not in absent], absent


def _targets() -> tuple[list[str], dict[str, str]]:
    try:
        find_flavour("trt")
    except BnexportError as error:
        return ["onnx"], {"TensorRT": str(error)}
    return ["onnx", "trt"], {}


def _row(name: str, served: Sequence[str], targets: Sequence[str]) -> Row:
    start = time.perf_counter()
    module, inputs = _network(name)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"{name}.onnx"
        try:
            parity = bnexport.convert(
                module, path, target=targets, inputs=inputs, batch=BATCHES, runtimes=served
            ).parity
        except bnexport.ConversionFailed as failure:
            parity = failure.conversion.parity
        except BnexportError as error:
            return {"network": name, "failed": True, "error": str(error), "checks": []}
    parities = [parity, *_on_cuda(module, inputs)]
    checks = [check for each in parities for check in each.checks]
    row = {
        "network": name,
        "failed": not all(each.ok for each in parities),
        "failures": [str(check.detail) for check in checks if not check.passed],
        "located": parity.located,
        "skipped": {each.runtime: each.reason for each in parity.skipped},
        "seconds": round(time.perf_counter() - start, 1),
        "worst": _worst(parities),
        "checks": [{key: getattr(check, key) for key in KEPT} for check in checks],
    }
    print(f"{name:24} {row['seconds']:6} s  {row['worst']}  {row['failures'] or ''}", flush=True)
    return row


def _on_cuda(module: nn.Module, inputs: Sequence[str]) -> list[Parity]:
    """PyTorch on CUDA, held against float64 on the processor."""
    if not torch.cuda.is_available():
        return []
    specs = tuple(parse_input(text) for text in inputs)
    meant = intended(load(module), module, specs, None, silent)
    runner = TorchRunner(deepcopy(meant.plain).cuda())
    return [
        verify_runners(
            meant.reference(),
            [runner],
            meant.examples,
            output_names=meant.plain.outputs,
            batches=BATCHES,
        )
    ]


def _network(name: str) -> tuple[nn.Module, Sequence[str]]:
    if name in OWN:
        built = importlib.import_module(f"models.{name}")
        return built.build(), built.INPUT
    module, shape = network(name)
    return module, [f"Nx{'x'.join(map(str, shape))}"]


def _worst(parities: Sequence[Parity]) -> dict[str, float]:
    """By runtime, the largest error over its limit."""
    found: dict[str, float] = {}
    for check in (check for each in parities for check in each.checks):
        found[check.runtime] = round(max(found.get(check.runtime, 0.0), check.ratio), 3)
    return found


def _slug(device: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", device.lower()).strip("-")


if __name__ == "__main__":
    sys.exit(main())
