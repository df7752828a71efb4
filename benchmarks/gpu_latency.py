"""On a GPU: how fast engines are, against PyTorch, torch.compile and ONNX Runtime on CUDA, at batch 1 and 32.

    python benchmarks/gpu_latency.py [--only NETWORK ...] [--seconds S]

Each network is converted to ONNX and, in float32, float16 and mixed precision, to engines; all of them take their turns
in the rounds of one `bnexport.bench`. TF32 is off everywhere. Writes ``benchmarks/results/<device>-latency.json`` and
``.md``; without a GPU it says so and writes nothing.
"""

from __future__ import annotations

import argparse
import datetime
import re
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from zoo import network

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import bnexport  # noqa: E402
from bnexport.errors import BnexportError  # noqa: E402
from bnexport.report.document import dumps, versions  # noqa: E402
from bnexport.targets.cuda import find_gpu  # noqa: E402

NETWORKS = ("resnet50", "mobilenetv3_small_100", "efficientnet_b0", "densenet121", "repvgg_a0")
BATCHES = (1, 32)
RESULTS = Path(__file__).parent / "results"

Row = dict[str, Any]


def main() -> int:
    """Measure, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="+", default=NETWORKS, metavar="NETWORK")
    parser.add_argument("--seconds", type=float, default=10.0, help="a batch size of a network")
    given = parser.parse_args()
    gpu = find_gpu()
    if isinstance(gpu, str):
        print(f"skipped: {gpu}")
        return 0
    rows = [_row(name, given.seconds) for name in given.only]
    facts = {
        "command": f"python benchmarks/gpu_latency.py --seconds {given.seconds}",
        "date": datetime.date.today().isoformat(),
        "device": gpu.name,
        "capability": gpu.target,
        "versions": versions(),
    }
    out = RESULTS / f"{re.sub(r'[^a-z0-9]+', '-', gpu.name.lower()).strip('-')}-latency"
    out.with_suffix(".json").write_text(dumps({**facts, "rows": rows}) + "\n")
    out.with_suffix(".md").write_text("\n".join(_page(facts, rows)) + "\n")
    print(f"wrote {out}.md")
    return 0


def _row(name: str, seconds: float) -> Row:
    module, shape = network(name)
    inputs = [f"Nx{'x'.join(map(str, shape))}"]
    failed: dict[str, str] = {}
    with tempfile.TemporaryDirectory() as folder:
        files = [
            path
            for precision in ("fp32", "fp16", "mixed")
            for path in _files(module, Path(folder), name, inputs, precision, failed)
        ]
        found = bnexport.bench(
            [module.eval().cuda(), *files],
            inputs=inputs,
            batch=BATCHES,
            seconds=seconds,
            cuda_graphs=True,
        )
    print(f"{name}: {len(found.results)} results, failed: {failed or 'none'}", flush=True)
    return {"network": name, "failed": failed, "bench": found.to_json()}


def _files(
    module: Any, folder: Path, name: str, inputs: list[str], precision: str, failed: dict[str, str]
) -> list[Path]:
    """The ONNX file in float32, and the engine of each precision, where it can be made and is right."""
    out = folder / f"{name}-{precision}.onnx"
    try:
        done = bnexport.convert(
            module, out, target=["onnx", "trt"], inputs=inputs, batch=BATCHES, precision=precision
        )
    except BnexportError as error:
        failed[precision] = str(error)
        return []
    engine = next(path for path in done.files if path.suffix == ".engine")
    return [out, engine] if precision == "fp32" else [engine]


def _page(facts: Row, rows: list[Row]) -> Iterator[str]:
    found = facts["versions"]
    yield f"# Latency on {facts['device']} ({facts['capability']}), {facts['date']}\n"
    names = ("torch", "onnxruntime-gpu", "tensorrt", "tensorrt-rtx")
    yield ", ".join(f"{name} {found[name]}" for name in names if name in found) + ".\n"
    for row in rows:
        yield f"## {row['network']}\n"
        yield "| model | runtime | precision | batch | median ms | p95 | p99 | samples/s | over the first |"
        yield "|---" * 9 + "|"
        for each in row["bench"]["results"]:
            yield f"| {' | '.join(_cells(row['bench'], each))} |"
        yield ""
        for precision, why in row["failed"].items():
            yield f"{precision}: {why}\n"


def _cells(bench: Row, each: Row) -> Iterator[str]:
    who, latency = bench["participants"][each["participant"]], each["latency_ms"]
    yield from (who["model"], who["title"], who["precision"], str(each["batch"]))
    for name in ("median", "p95", "p99"):
        yield "-" if latency.get(name) is None else f"{latency[name]:.3f}"
    yield f"{each['samples_per_second']:.0f}"
    yield "1" if each["ratio"] is None else f"{each['ratio']['median']:.3f}"


if __name__ == "__main__":
    raise SystemExit(main())
