"""Count what is left of the BatchNorms of timm's and torchvision's architectures, in our file and in others'.

    python benchmarks/kept.py --work DIR [--only NETWORK ...] [--slow]

The exports, and the counts of each network, are kept below DIR: a second run continues the first, and folds
anew what was captured when the passes have changed. `census` says what is counted.
"""

from __future__ import annotations

import argparse
import datetime
import json
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from census import census
from peers import OURS, Exports, digest, export
from sessions import relative_error

from bnexport.report.document import versions

NETWORKS = (
    *("resnet50", "mobilenetv3_small_100", "efficientnet_b0", "regnety_004", "ghostnet_100"),
    *("hrnet_w18_small", "dla34", "inception_v3", "inception_v4", "xception41", "seresnet50"),
    *("skresnet18", "resnest14d", "cspresnet50", "efficientformer_l1", "efficientvit_b0"),
    *("tiny_vit_5m_224", "resnetv2_50", "densenet121", "repvgg_a0", "mobileone_s0"),
    *("repvit_m0_9", "fastvit_t8", "levit_128s", "coatnet_bn_0_rw_224"),
    *("xcit_nano_12_p16_224", "starnet_s1", "googlenet", "shufflenet_v2_x1_0"),
)
SLOW = ("nasnetalarge",)
PEERS = ("torch", "onnxsim", "onnxruntime")
RESULTS = Path(__file__).parent / "results"

Row = dict[str, Any]


def main() -> None:
    """Count and write both tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--work", type=Path, required=True, help="where exports and counts are kept"
    )
    parser.add_argument("--out", type=Path, default=RESULTS / "kept.json")
    parser.add_argument("--only", nargs="+", default=[], metavar="NETWORK")
    parser.add_argument("--slow", action="store_true", help=f"also {', '.join(SLOW)}")
    given = parser.parse_args()
    rows: list[Row] = []
    for name in given.only or (*NETWORKS, *SLOW * given.slow):
        stored = given.work / name / f"kept-{digest()[:12]}.json"
        if not stored.exists():
            row = _count(export(name, given.work, PEERS))
            stored.write_text(json.dumps(row, indent=1))
        rows.append(json.loads(stored.read_text()))
        print(_line(rows[-1]), flush=True)
    _write(given.out, rows, "--slow" if given.slow else "")


def _count(exports: Exports) -> Row:
    """One network."""
    row: Row = {"network": exports.name, "failed": exports.errors, "files": {}}
    if "captured" not in exports.paths:
        return row
    x, expected = exports.reference
    for name in (OURS, *PEERS):
        if name in exports.paths:
            error = relative_error(exports.paths[name], x, expected)
            row["files"][name] = {**asdict(census(exports.paths[name])), "relative_error": error}
    row["batch_norms"] = exports.batch_norms
    if OURS in exports.paths:
        row["fates"] = dict(Counter(each["fate"] for each in exports.ledger))
        reasons = Counter(
            (each["fate"], re.sub(r"\d+ readers", "several readers", each["reason"]))
            for each in exports.ledger
        )
        row["reasons"] = [
            {"fate": fate, "reason": reason, "count": count}
            for (fate, reason), count in reasons.most_common()
            if fate in ("kept", "reduced")
        ]
    return row


def _write(out: Path, rows: list[Row], settings: str) -> None:
    date = datetime.date.today().isoformat()
    command = f"python benchmarks/kept.py --work DIR {settings}".strip()
    facts = {"command": command, "date": date, "versions": versions()}
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps({**facts, "networks": rows}, indent=1) + "\n")
    libraries = ", ".join(
        f"{name} {versions()[name]}" for name in ("torch", "onnxsim", "onnxruntime")
    )
    text = [
        "# What is left of BatchNorm",
        "",
        "In each file: BatchNormalization nodes / elementwise operators by a constant along one axis / "
        "convolutions. Random weights, seeded statistics; the error is our file's in ONNX Runtime, relative, "
        f"against PyTorch in float64. {date}, {libraries}. Command: `{command}`.",
        "",
        f"| network | BatchNorms | {OURS} | error | {' | '.join(PEERS)} |",
        f"|{'---|' * (4 + len(PEERS))}",
        *map(_line, rows),
        "",
        "Why, by the ledger:",
        "",
        *(line for row in rows for line in _reasons(row)),
    ]
    out.with_suffix(".md").write_text("\n".join(text) + "\n")


def _line(row: Row) -> str:
    """The row of the table."""
    files = row["files"]
    shown = [
        f"{one['batch_norms']} / {one['constants']} / {one['convs']}" if one else "failed"
        for one in (files.get(name) for name in (OURS, *PEERS))
    ]
    error = f"{files[OURS]['relative_error']:.0e}" if OURS in files else ""
    cells = [row["network"], str(row.get("batch_norms", "")), shown[0], error, *shown[1:]]
    return f"| {' | '.join(cells)} |"


def _reasons(row: Row) -> Iterator[str]:
    """A line for each distinct reason."""
    for each in row.get("reasons", ()):
        yield f"- {row['network']}: {each['count']} {each['fate']}: {each['reason']}"
    for name, error in row["failed"].items():
        yield f"- {row['network']}: {name} failed: {error}"


if __name__ == "__main__":
    main()
