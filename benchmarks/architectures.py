"""Convert networks that ``models/`` does not hold, each as a pickled module and as weights with ``arch``.

    python benchmarks/architectures.py [--out benchmarks/results/architectures.json]

Writes what came out of each: BatchNorms absorbed and kept, the worst error over its limit, seconds, size.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
import zoo

import bnexport
from bnexport.report.document import versions

NETWORKS = {
    "mobilenetv3_small_100": zoo.timm_model,
    "efficientnet_b0": zoo.timm_model,
    "regnety_004": zoo.timm_model,
    "repvgg_a0": zoo.timm_model,
    "densenet121": zoo.timm_model,
    "resnetv2_50": zoo.timm_model,
    "googlenet": zoo.torchvision_model,
    "r2plus1d_18": zoo.torchvision_model,
}
SHAPES = {"r2plus1d_18": ["Nx3x8x64x64"]}


def main() -> None:
    """Run every network both ways and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/architectures.json"))
    parser.add_argument("--only", nargs="*", default=list(NETWORKS))
    arguments = parser.parse_args()
    rows = []
    for name in arguments.only:
        for how in ("pickled module", "state_dict with arch"):
            rows.append(convert(name, how))
            print(json.dumps(rows[-1]), flush=True)
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    document = {
        "command": "python benchmarks/architectures.py",
        "versions": versions(),
        "rows": rows,
    }
    arguments.out.write_text(json.dumps(document, indent=2) + "\n")


def convert(name: str, how: str) -> dict[str, Any]:
    """One network, saved and converted one way."""
    build = NETWORKS[name]
    module = build(name)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"{name}.pt"
        options: dict[str, Any] = {"inputs": SHAPES.get(name)}
        if how == "pickled module":
            torch.save(module, path)
            options["allow"] = ["timm", "torchvision"]
        else:
            torch.save(module.state_dict(), path)
            options |= {"arch": f"zoo:{build.__name__}", "arch_args": {"name": name, "seed": 1}}
        start = time.perf_counter()
        try:
            result = bnexport.convert(path, Path(folder) / f"{name}.onnx", **options)
        except bnexport.BnexportError as error:
            return {"network": name, "as": how, "error": str(error)}
        return {
            "network": name,
            "as": how,
            "ledger": result.ledger.totals,
            "kept": sorted({row.reason for row in result.ledger.kept}),
            "ok": result.ok,
            "worst_error_over_limit": max(c.relative / c.limit for c in result.parity.checks),
            "checks": len(result.parity.checks),
            "bytes": result.path.stat().st_size,
            "seconds": round(time.perf_counter() - start, 1),
        }


if __name__ == "__main__":
    main()
