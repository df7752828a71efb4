"""Convert networks to TensorRT-RTX engines in each precision, folded and not, and verify the ONNX files behind them.

    python benchmarks/engines.py --work DIR [--only NETWORK ...]

Engines are built for sm_80, 86, 89 and 120 at batch 1 to 32; no GPU is needed to build them, and none runs them here. A
network is captured once. Of each precision the ONNX file that the engine is built from is held against the module in
float64, at batch 1 and 4, in ONNX Runtime as it is and with every value rounded as its type says. The census counts the
layers of TensorRT's network after parsing: a BatchNorm that was not folded is a SCALE layer there, as the twin built
without folding shows. Rows are kept below DIR.
"""

from __future__ import annotations

import argparse
import datetime
import hashlib
import importlib
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import nn
from zoo import network

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import models  # noqa: E402
from bnexport.build import build  # noqa: E402
from bnexport.disk import file_sha256  # noqa: E402
from bnexport.errors import BnexportError, Refused  # noqa: E402
from bnexport.events import silent  # noqa: E402
from bnexport.load import load  # noqa: E402
from bnexport.precision import lower  # noqa: E402
from bnexport.precision.mixed import Sample  # noqa: E402
from bnexport.report.document import versions  # noqa: E402
from bnexport.rewrite import rewrite  # noqa: E402
from bnexport.subject import Subject, subject_of  # noqa: E402
from bnexport.targets.tensorrt import EngineOptions  # noqa: E402
from bnexport.verify import verify_build  # noqa: E402

TIMM = (
    *("mobilenetv3_small_100", "regnety_004", "ghostnet_100", "lcnet_050", "tinynet_e"),
    *("mnasnet_small", "semnasnet_075", "mobileone_s0", "repvgg_a0", "efficientnet_b0"),
    *("convnext_atto", "levit_128s", "repvit_m0_9", "skresnet18", "resnest14d", "fastvit_t8"),
    *(
        "efficientformer_l1",
        "hrnet_w18_small",
        "densenet121",
        "resnet50",
        "dla34",
        "tiny_vit_5m_224",
    ),
)
OPTIONS = EngineOptions(batch=(1, 8, 32), sm=(80, 86, 89, 120), keep_engines=False)
PRECISIONS = ("fp32", "fp16", "mixed")
BATCHES = (1, 4)
RESULTS = Path(__file__).parent / "results"

Row = dict[str, Any]


def main() -> int:
    """Build, verify, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True, help="where rows are kept")
    parser.add_argument("--out", type=Path, default=RESULTS / "engines")
    parser.add_argument("--only", nargs="+", default=[], metavar="NETWORK")
    given = parser.parse_args()
    torch.set_num_threads(1)
    given.work.mkdir(parents=True, exist_ok=True)
    rows = []
    for name in given.only or (*models.NAMES, *TIMM):
        stored = given.work / f"{name}-{_digest()}.json"
        if not stored.exists():
            stored.write_text(json.dumps(_row(name, given.work), indent=1))
        rows.append(json.loads(stored.read_text()))
        print(_line(rows[-1]), flush=True)
    _write(given.out, rows)
    return 0


def _digest() -> str:
    """Of the code that makes the rows."""
    found = hashlib.sha256(Path(__file__).read_bytes())
    for folder in (ROOT / "bnexport", ROOT / "passes"):
        for path in sorted(folder.rglob("*.py")):
            found.update(path.read_bytes())
    return found.hexdigest()[:12]


def _row(name: str, work: Path) -> Row:
    row: Row = {"network": name, "made": {}}
    module, inputs = _network(name)
    try:
        subject = subject_of(load(module), inputs, None, None, silent)
    except Refused as error:
        return {**row, "refused": str(error)}
    row["batch_norms"] = len(subject.batch_norms)
    made: Row = row["made"]
    for precision in PRECISIONS:
        made[precision] = _made(subject, work / name, precision, made.get("fp16", {}))
    made["unfolded"] = _made(subject, work / name, "fp32", {}, fold=False)
    return row


def _network(name: str) -> tuple[nn.Module, list[str]]:
    if name in models.NAMES:
        built = importlib.import_module(f"models.{name}")
        return built.build(), list(built.INPUT)
    module, shape = network(name)
    return module, [f"Nx{'x'.join(map(str, shape))}"]


def _made(subject: Subject, stem: Path, precision: str, half: Row, *, fold: bool = True) -> Row:
    """One engine, and the ONNX file that it is of; where that is the file of ``half``, its verdict."""
    made: Row = {}
    start = time.perf_counter()
    try:
        rewritten = rewrite(subject.graph.clone(), subject.batch_norms, fold=fold)
        made["kept"] = [row.name for row in rewritten.ledger.kept]
        sample = Sample(subject.reference, subject.examples, subject.outputs)
        lowered = lower(rewritten.model, precision, sample)
        if lowered.precision:
            made["trials"] = lowered.precision.trials
            made["half"] = lowered.precision.nodes
            made["stays"] = [
                [e.module or e.value, e.operator, e.reason] for e in lowered.precision.stays
            ]
        artifacts = build(
            lowered.model, subject, ("onnx", "trt-rtx"), stem, OPTIONS, None, True, silent
        )
    except BnexportError as error:
        return {**made, "error": str(error)}
    info = artifacts[1].engine
    if info is not None:
        made |= {"layers": sum(info.layers.values()), "scale_layers": info.scale_layers}
        made |= {"scaling": info.scaling, "bytes": info.bytes, "build_seconds": info.build_seconds}
        made |= {"targets": info.targets, "precision": info.precision, "version": info.version}
    made["onnx_sha256"] = file_sha256(artifacts[0].path)
    if made["onnx_sha256"] == half.get("onnx_sha256"):
        made["parity"] = half["parity"]
    elif fold:
        made["parity"] = _parity(subject, artifacts[:1], lowered.precision)
    made["seconds"] = time.perf_counter() - start
    return made


def _parity(subject: Subject, artifacts: Any, precision: Any) -> Row:
    parity = verify_build(
        subject,
        artifacts,
        BATCHES,
        atol=None,
        rtol=None,
        tf32=False,
        mixes_batch=False,
        runtimes=(),
        precision=precision,
        observe=silent,
    )
    judged = [check for check in parity.checks if check.runtime.startswith("ONNX Runtime")]
    found: Row = {"ok": parity.ok, "checks": len(parity.checks)}
    found["reference"] = parity.reference
    for check in judged:
        name = "rounding" if "rounding" in check.runtime else "plain"
        worst = found.setdefault(name, {"ratio": 0.0, "relative": 0.0})
        worst["ratio"] = max(worst["ratio"], check.ratio)
        if not check.inputs and check.kind == "agreement":
            worst["relative"] = max(worst["relative"], check.relative)
    if parity.failures:
        found["failure"] = parity.failures[0].detail
    return found


def _line(row: Row) -> str:
    if "refused" in row:
        return f"{row['network']:24} refused: {row['refused']}"
    return f"{row['network']:24} " + "  ".join(_cell(name, m) for name, m in row["made"].items())


def _cell(name: str, made: Row) -> str:
    if "error" in made:
        return f"{name}: {made['error'][:60]}"
    parity = made.get("parity")
    verdict = "" if parity is None else " ok" if parity["ok"] else " FAILED"
    return f"{name}: {made['scale_layers']} scale, {made['bytes'] / 1e6:.1f} MB{verdict}"


def _write(out: Path, rows: list[Row]) -> None:
    facts = {
        "command": "python benchmarks/engines.py --work DIR",
        "date": datetime.date.today().isoformat(),
        "targets": [f"sm_{number}" for number in OPTIONS.sm],
        "batch": OPTIONS.batch,
        "versions": versions(),
    }
    out.with_suffix(".json").write_text(json.dumps({**facts, "rows": rows}, indent=1) + "\n")
    out.with_suffix(".md").write_text("\n".join(_page(rows)) + "\n")


ABOUT = """For each network: SCALE layers of TensorRT's network without folding, with it, and the BatchNorms that
the ledger says were kept; the engine's size; and the worst error of the ONNX file behind it over its
limit, with every value rounded as its type says (of float32: in ONNX Runtime as deployed). 1 is the
limit. *Stays* is the number of nodes that `mixed` leaves in float32. No engine was run: there was no
GPU."""
HEADS = ("network", "scale: unfolded", "folded", "ledger keeps", "fp32 MB", "fp16 MB")
HEADS += ("fp32 error", "fp16 error", "mixed error", "stays")


def _page(rows: list[Row]) -> Iterator[str]:
    found = versions()
    yield f"# Engines, built without a GPU\n\n{ABOUT}\n"
    targets = ", ".join(f"sm_{number}" for number in OPTIONS.sm)
    yield f"Engines for {targets}, batch 1 to 32; tensorrt-rtx {found.get('tensorrt-rtx')},"
    yield f"torch {found['torch']}, onnxruntime {found.get('onnxruntime')}."
    yield f"{datetime.date.today().isoformat()}.\n"
    yield f"| {' | '.join(HEADS)} |"
    yield "|---" * len(HEADS) + "|"
    for row in rows:
        if "refused" in row:
            yield f"| {row['network']} | refused |" + " |" * (len(HEADS) - 2)
            continue
        made = row["made"]
        cells = [
            str(_or_error(made["unfolded"], "scale_layers")),
            str(_or_error(made["fp32"], "scale_layers")),
            str(len(made["fp32"].get("kept", []))),
            *(_megabytes(made[name]) for name in ("fp32", "fp16")),
            *(_error(made[name]) for name in PRECISIONS),
            str(len(made["mixed"].get("stays", []))),
        ]
        yield f"| {row['network']} | {' | '.join(cells)} |"
    yield from _failures(rows)


def _failures(rows: list[Row]) -> Iterator[str]:
    yield ""
    yield "What failed, in our words:"
    yield ""
    for row in rows:
        if "refused" in row:
            yield f"- {row['network']}: {row['refused']}"
        for name, made in row.get("made", {}).items():
            why = made.get("error") or (made.get("parity") or {}).get("failure")
            if why:
                yield f"- {row['network']}, {name}: {why}"


def _or_error(made: Row, name: str) -> object:
    return "-" if "error" in made else made[name]


def _megabytes(made: Row) -> str:
    return "-" if "error" in made else f"{made['bytes'] / 1e6:.1f}"


def _error(made: Row) -> str:
    parity = made.get("parity")
    if not parity:
        return "-"
    worst = parity.get("rounding") or parity.get("plain")
    return f"{worst['ratio']:.2g}" if worst else "-"


if __name__ == "__main__":
    raise SystemExit(main())
