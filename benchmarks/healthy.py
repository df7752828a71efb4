"""Verify healthy networks at batch 1, 3 and 8, and say how much of its limit each check used.

    python benchmarks/healthy.py --work DIR [--only NETWORK ...] [--faults FILE]

A failed check is a false alarm. A ratio is an error over its limit, which is `MULTIPLE` times the network's own
rounding: what another multiple would have made of these networks, and of the faults of `faults.py`, is the second
table. ``features:resnet18`` gives the maps that resnet18 computes on the way, whose channels are judged too.
Exports and verdicts are kept below DIR, as `kept.py` keeps its own.
"""

from __future__ import annotations

import argparse
import datetime
import importlib
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from kept import NETWORKS
from peers import OURS, digest, export
from torch import nn
from zoo import import_torchvision, network, trained_like

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import bnexport  # noqa: E402
from bnexport.parity.yardstick import MULTIPLE  # noqa: E402
from bnexport.report.document import versions  # noqa: E402

BATCHES = (1, 3, 8)
OWN = ("audio1d", "depthwise_mobile", "residual_classifier", "siamese", "sync_unet")
MORE = (
    *("unet", "lcnet_050", "mnasnet_small", "tinynet_e", "tf_efficientnet_lite0", "semnasnet_075"),
    *("edgenext_xx_small", "mobilevitv2_050", "convnext_atto", "hardcorenas_a", "spnasnet_100"),
)
FEATURES = (
    *("resnet18", "mobilenetv3_small_100", "efficientnet_b0", "densenet121"),
    *("regnety_004", "hrnet_w18_small", "convnext_atto"),
)
MULTIPLES = (1, 2, 4, 8, 16, 32, 64)
RESULTS = Path(__file__).parent / "results"

Row = dict[str, Any]


def main() -> int:
    """Verify, print the tables, and write them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--work", type=Path, required=True, help="where exports and verdicts are kept"
    )
    parser.add_argument("--out", type=Path, default=RESULTS / "healthy.json")
    parser.add_argument("--only", nargs="+", default=[], metavar="NETWORK")
    parser.add_argument("--faults", type=Path, default=RESULTS / "faults.json")
    given = parser.parse_args()
    torch.set_num_threads(1)
    rows = []
    for name in given.only or (*OWN, *MORE, *NETWORKS, *(f"features:{name}" for name in FEATURES)):
        stored = given.work / name / f"healthy-{digest()[:12]}.json"
        if not stored.exists():
            row = _verify(name, given.work)
            stored.write_text(json.dumps(row, indent=1))
        rows.append(json.loads(stored.read_text()))
        print(_line(rows[-1]), flush=True)
    ratios = [check["ratio"] for row in rows for check in row["checks"]]
    usual = [c["ratio"] for row in rows for c in row["checks"] if not c["inputs"]]
    faults = _ratios_of_faults(given.faults)
    result = {
        "command": "python benchmarks/healthy.py --work DIR",
        "date": datetime.date.today().isoformat(),
        "networks": len(rows),
        "checks": len(ratios),
        "false alarms": sum(not check["passed"] for row in rows for check in row["checks"]),
        "multiple": MULTIPLE,
        "error / rounding": _quantiles([MULTIPLE * ratio for ratio in usual]),
        "other multiples": list(_multiples(ratios, faults)),
        "rows": rows,
        "versions": versions(),
    }
    given.out.write_text(json.dumps(result, indent=1) + "\n")
    print(*_table(result), sep="\n")
    return bool(result["false alarms"])


def _verify(name: str, work: Path) -> Row:
    if name in OWN:
        built = importlib.import_module(f"models.{name}")
        module, inputs = built.build(), built.INPUT
        folder = work / name
        folder.mkdir(parents=True, exist_ok=True)
        path = bnexport.convert(module, folder / "bnexport.onnx", inputs=inputs).path
    elif name.startswith("features:"):
        module, inputs = Features(name.removeprefix("features:")).eval(), ["Nx3x128x128"]
        folder = work / name
        folder.mkdir(parents=True, exist_ok=True)
        path = bnexport.convert(module, folder / "bnexport.onnx", inputs=inputs).path
    else:
        module, shape = network(name)
        inputs = [f"Nx{'x'.join(map(str, shape))}"]
        path = export(name, work, ()).paths[OURS]
    return _row(name, module, path, inputs)


class Features(nn.Module):
    """What a network of timm computes on the way."""

    def __init__(self, name: str) -> None:
        super().__init__()
        import_torchvision()
        import timm

        torch.manual_seed(0)
        made = timm.create_model(name, features_only=True, pretrained=False)
        self.network = trained_like(made, 0)

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        return {f"map{place}": each for place, each in enumerate(self.network(x))}


def _row(name: str, module: nn.Module, path: Path, inputs: Sequence[str]) -> Row:
    parity = bnexport.verify(module, path, inputs=inputs, batch=BATCHES, locate=False)
    kept = (
        "runtime",
        "batch",
        "kind",
        "output",
        "inputs",
        "part",
        "ratio",
        "relative",
        "yardstick",
        "passed",
        "detail",
    )
    return {
        "network": name,
        "checks": [{key: getattr(c, key) for key in kept} for c in parity.checks],
    }


def _line(row: Row) -> str:
    worst = max(row["checks"], key=lambda check: float(check["ratio"]))
    failed = [check["detail"] for check in row["checks"] if not check["passed"]]
    where = f"{worst['runtime']}, {worst['kind']} at batch {worst['batch']}"
    return f"{row['network']:24} {worst['ratio'] * MULTIPLE:6.2f} x its rounding: {where} {failed or ''}"


def _ratios_of_faults(path: Path) -> list[float]:
    """Of the faults that are an error, and no matter of shapes, counts or NaN."""
    rows = json.loads(path.read_text())["rows"] if path.exists() else []
    ratios = [row["times the limit"] for row in rows if row["fault"] != "none"]
    return [ratio for ratio in ratios if ratio is not None and np.isfinite(ratio)]


def _quantiles(values: Sequence[float]) -> dict[str, float]:
    return {
        f"{share:g} %": round(float(np.percentile(values, share)), 3) for share in (50, 90, 99, 100)
    }


def _multiples(healthy: Sequence[float], faults: Sequence[float]) -> Iterator[Row]:
    for multiple in MULTIPLES:
        limit = multiple / MULTIPLE
        yield {
            "multiple": multiple,
            "false alarms": sum(ratio > limit for ratio in healthy),
            "faults missed": sum(ratio <= limit for ratio in faults),
            "of faults": len(faults),
        }


def _table(result: Row) -> Iterator[str]:
    yield f"{result['networks']} networks, {result['checks']} checks, {result['false alarms']} false alarms"
    yield f"error / rounding: {result['error / rounding']}"
    for row in result["other multiples"]:
        yield str(row)


if __name__ == "__main__":
    sys.exit(main())
