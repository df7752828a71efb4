"""On a GPU: PyTorch, ONNX Runtime and TensorRT against float64, over ``models/`` and four networks of timm.

    python benchmarks/gpu_parity.py [--only NETWORK ...] [--out FILE] [--anyway]

Each network is converted to ONNX and to an engine, in float32, float16 and mixed precision, and verified at batch 1, 8
and 32 in whatever runs here: PyTorch on CUDA, ONNX Runtime on CUDA and on TensorRT, the engine. What does not run is
listed with its reason, and whether TensorRT-RTX builds and opens an engine for just this GPU is told. Writes
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
from bnexport.targets.tensorrt.flavour import load_flavour  # noqa: E402
from bnexport.targets.tensorrt.logger import Messages, make_logger, reason  # noqa: E402

BATCHES = (1, 8, 32)
PRECISIONS = ("fp32", "fp16", "mixed")
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
    for part, why in absent.items():
        print(f"not here: {part}: {why}")
    rows = [_row(name, served, targets, each) for name in given.only for each in PRECISIONS]
    failed = [f"{row['network']} {row['precision']}" for row in rows if row["failed"]]
    result = {
        "command": "python benchmarks/gpu_parity.py",
        "date": datetime.date.today().isoformat(),
        "device": gpu.name if isinstance(gpu, Gpu) else gpu,
        "capability": gpu.target if isinstance(gpu, Gpu) else None,
        "batches": BATCHES,
        "runtimes": served,
        "targets": targets,
        "not here": absent,
        "tensorrt_rtx for this GPU": _rtx_here(gpu),
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


def _rtx_here(gpu: Gpu | str) -> str:
    """Whether TensorRT-RTX builds for the GPU that is here, named or not, and opens what it built."""
    if isinstance(gpu, str):
        return gpu
    try:
        module = load_flavour("tensorrt_rtx").module
    except BnexportError as error:
        return str(error)
    names = (f"SM{gpu.capability}", "CURRENT")
    return "; ".join(f"{name}: {_rtx_target(module, name)}" for name in names)


def _rtx_target(module: Any, name: str) -> str:
    members = module.ComputeCapability.__members__
    if name not in members:
        return "there is no such target"
    messages = Messages()
    logger = make_logger(module, messages)
    builder = module.Builder(logger)
    strong = 1 << int(module.NetworkDefinitionCreationFlag.STRONGLY_TYPED)
    network, config = builder.create_network(strong), builder.create_builder_config()
    image = network.add_input("x", module.float32, (1, 3, 8, 8))
    layer = network.add_activation(image, module.ActivationType.RELU)
    network.mark_output(layer.get_output(0))
    config.num_compute_capabilities = 1
    if not config.set_compute_capability(members[name], 0):
        return f"refused: {reason(messages)}"
    plan = builder.build_serialized_network(network, config)
    if plan is None:
        return f"not built: {reason(messages)}"
    opened = module.Runtime(logger).deserialize_cuda_engine(plan)
    return "built and opened" if opened else f"built, not opened: {reason(messages)}"


def _row(name: str, served: Sequence[str], targets: Sequence[str], precision: str) -> Row:
    start = time.perf_counter()
    module, inputs = _network(name)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"{name}.onnx"
        try:
            parity = bnexport.convert(
                module,
                path,
                target=targets,
                inputs=inputs,
                batch=BATCHES,
                precision=precision,
                runtimes=served,
            ).parity
        except bnexport.ConversionFailed as failure:
            parity = failure.conversion.parity
        except BnexportError as error:
            told = {"network": name, "precision": precision, "error": str(error)}
            return {**told, "failed": True, "checks": []}
    parities = [parity, *(_on_cuda(module, inputs) if precision == "fp32" else [])]
    checks = [check for each in parities for check in each.checks]
    row = {
        "network": name,
        "precision": precision,
        "failed": not all(each.ok for each in parities),
        "failures": [str(check.detail) for check in checks if not check.passed],
        "located": parity.located,
        "skipped": {each.runtime: each.reason for each in parity.skipped},
        "seconds": round(time.perf_counter() - start, 1),
        "worst": _worst(parities),
        "checks": [{key: getattr(check, key) for key in KEPT} for check in checks],
    }
    print(
        f"{name:24} {precision:6} {row['seconds']:6} s  {row['worst']}  {row['failures'] or ''}",
        flush=True,
    )
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
