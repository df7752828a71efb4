"""Conversions beside the floor of a verified one and beside what others do, whole processes by turns.

python benchmarks/speed/table.py [--rounds 5] [--work DIR] [--only resnet50,unet] [--large] [--few]

Needs onnxslim and polygraphy beside what the tests need. ``--large``: networks of 1.2 and 2.9 GB instead.
Writes benchmarks/results/speed.json and speed.md (--large: speed_large).
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import nets
from rounds import Run, by_turns, median, once, ratio

from bnexport.report import versions

HERE = Path(__file__).parent
RESULTS = HERE.parent / "results"
SMALL = ("resnet50", "mobilenetv3", "densenet121", "yolov8n", "unet", "audio")
LARGE = ("wide1g", "wide3g")
PEERS = {
    "torch.onnx + onnxsim": [],
    "torch.onnx + onnxslim": ["--simplifier", "onnxslim"],
    "torch.onnx, verify=True": ["--simplifier", "none", "--check", "torch"],
    "torch.onnx, timm's check": ["--simplifier", "none", "--check", "timm"],
    "torch.onnx + onnxsim, Polygraphy's check": ["--check", "polygraphy"],
    "legacy exporter": ["--exporter", "legacy", "--simplifier", "none"],
    "legacy exporter, compared at 1 and 2": [
        *("--exporter", "legacy", "--simplifier", "none", "--batch", "1,2")
    ],
}
OURS = {
    "bnexport": ["--proof", "quick", "--capture", "fast"],
    "bnexport, full proof": ["--proof", "full", "--capture", "fast"],
    "bnexport, by torch.export": ["--proof", "quick", "--capture", "export"],
}
FLOOR = "floor"


def main() -> None:
    """Time, print, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--work", type=Path)
    parser.add_argument("--only", default="")
    parser.add_argument("--large", action="store_true")
    parser.add_argument("--few", action="store_true", help="of others the legacy exporter alone")
    parser.add_argument("--out", type=Path, help="less its suffix")
    given = parser.parse_args()
    names = given.only.split(",") if given.only else LARGE if given.large else SMALL
    work = given.work or Path(tempfile.mkdtemp())
    work.mkdir(parents=True, exist_ok=True)
    found: dict[str, Any] = {}
    out = given.out or RESULTS / ("speed_large" if given.large else "speed")
    for name in names:
        found[name] = timed(name, work, given.rounds, given.few)
        result = {
            "command": f"python benchmarks/speed/table.py {' '.join(sys.argv[1:])}".strip(),
            "date": datetime.date.today().isoformat(),
            "machine": f"{platform.machine()}, {os.cpu_count()} shared cores",
            "versions": versions(),
            "networks": found,
        }
        out.with_suffix(".json").write_text(json.dumps(result, indent=1) + "\n")
    text = table(result)
    out.with_suffix(".md").write_text(text)
    print(text)
    if not given.work:
        shutil.rmtree(work)


def timed(name: str, work: Path, rounds: int, few: bool) -> dict[str, Any]:
    """All of one network."""
    checkpoint = work / f"{name}.pt"
    if not checkpoint.exists():
        subprocess.run([sys.executable, str(HERE / "nets.py"), str(work), name], check=True)
    commands = commands_of(name, checkpoint, work, few)
    once(commands["bnexport"], work / "log")  # makes what the floor opens
    shutil.copytree(work / "bnexport", work / "floor", dirs_exist_ok=True)
    print(name, file=sys.stderr)
    return summary(by_turns(commands, rounds, work / "log"))


def commands_of(name: str, checkpoint: Path, work: Path, few: bool) -> dict[str, list[str]]:
    """What is run, by its name in the table."""
    bnexport = Path(sys.executable).with_name("bnexport")
    for folder in ("bnexport", "floor", "peer"):
        shutil.rmtree(work / folder, ignore_errors=True)
        (work / folder).mkdir()
    shape = "x".join(map(str, nets.shape_of(name)))
    out = work / "bnexport" / "net.onnx"
    ours = [
        *(str(bnexport), "convert", str(checkpoint), "--allow", "nets", "-o", str(out)),
        *("--input", f"Nx{shape}", "--batch", "1,2", "--force", "--quiet"),
    ]
    every = {
        FLOOR: [
            *(sys.executable, str(HERE / "floor.py"), name, str(checkpoint)),
            str(work / "floor" / "net.onnx"),
        ]
    }
    every |= {title: [*ours, *options] for title, options in OURS.items()}
    peer = [sys.executable, str(HERE / "peer.py"), name, str(checkpoint)]
    made = str(work / "peer" / "net.onnx")
    few_peers = {title: options for title, options in PEERS.items() if "legacy" in title}
    peers = few_peers if few else PEERS
    return every | {title: [*peer, made, *options] for title, options in peers.items()}


def summary(found: dict[str, list[Run | None]]) -> dict[str, Any]:
    """Medians, and ratios to the floor."""
    base = found[FLOOR]
    return {
        title: {
            "wall_s": median(runs, "wall"),
            "cpu_s": median(runs, "cpu"),
            "peak_mb": median(runs, "peak"),
            "wall": ratio(runs, base, "wall"),
            "cpu": ratio(runs, base, "cpu"),
            "peak": ratio(runs, base, "peak"),
            "cpu_of_rounds": [r and round(r.cpu, 2) for r in runs],
        }
        for title, runs in found.items()
    }


def table(result: dict[str, Any]) -> str:
    """As Markdown."""
    names = list(result["networks"])
    made_with = ", ".join(f"{key} {value}" for key, value in result["versions"].items())
    lines = [
        f"`{result['command']}`, {result['date']}, {result['machine']}; {made_with}",
        "",
        "Processor time over the floor's, and in brackets peak memory over the floor's: medians of the rounds' ratios. "
        "The floor itself in seconds and megabytes. The floor and bnexport compare at batch 1 and 2, the others at "
        "batch 1 where nothing else is said.",
        "",
        f"| | {' | '.join(names)} |",
        f"|---|{'---|' * len(names)}",
    ]
    for title in result["networks"][names[0]]:
        cells = [_cell(title, result["networks"][name].get(title)) for name in names]
        lines.append(f"| {title} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _cell(title: str, found: dict[str, Any] | None) -> str:
    if not found or found["cpu"] is None:
        return "fails"
    if title == FLOOR:
        return f"{found['cpu_s']:.2f} s ({found['peak_mb']:.0f} MB)"
    return f"{found['cpu']:.2f} ({found['peak']:.2f})"


if __name__ == "__main__":
    main()
