"""What it costs to be told something that needs no model: help, a usage error, a missing file, an unchanged conversion.

python benchmarks/speed/startup.py [--rounds 15]

Writes benchmarks/results/startup.json: medians and the fastest of whole processes, by turns.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import nets  # noqa: F401  (what the checkpoint names)

from bnexport.report import versions

HERE = Path(__file__).parent
RESULTS = HERE.parent / "results" / "startup.json"


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        seconds = measured(Path(name), given.rounds)
    result = {
        "command": f"python benchmarks/speed/startup.py --rounds {given.rounds}",
        "date": datetime.date.today().isoformat(),
        "cpus": os.cpu_count(),
        "versions": versions(),
        "wall_seconds": seconds,
    }
    RESULTS.write_text(json.dumps(result, indent=1) + "\n")
    for title, found in seconds.items():
        print(f"{title:40} median {found['median']:.3f} s  fastest {found['fastest']:.3f} s")


def measured(work: Path, rounds: int) -> dict[str, dict[str, float]]:
    """Every command, by turns."""
    subprocess.run([sys.executable, str(HERE / "nets.py"), str(work), "mobilenetv3"], check=True)
    bnexport = str(Path(sys.executable).with_name("bnexport"))
    convert = [bnexport, "convert", str(work / "mobilenetv3.pt"), "--allow", "nets"]
    convert += ["--input", "Nx3x224x224", "-o", str(work / "net.onnx"), "--cache", str(work / "c")]
    commands = {
        "python -c pass": [sys.executable, "-c", "pass"],
        "bnexport --help": [bnexport, "--help"],
        "bnexport convert --help": [bnexport, "convert", "--help"],
        "usage error": [bnexport, "convert", "net.pt", "--batch", "0"],
        "missing file": [bnexport, "convert", str(work / "missing.pt")],
        "unchanged conversion, with --cache": convert,
    }
    environment = {**os.environ, "PYTHONPATH": str(HERE)}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    seconds: dict[str, list[float]] = {title: [] for title in commands}
    for command in commands.values():  # writes what Python compiles, and converts once
        subprocess.run(command, env=environment, capture_output=True)
    for _ in range(rounds):
        for title, command in commands.items():
            start = time.perf_counter()
            subprocess.run(command, env=environment, capture_output=True)
            seconds[title].append(time.perf_counter() - start)
    return {
        title: {"median": round(statistics.median(each), 3), "fastest": round(min(each), 3)}
        for title, each in seconds.items()
    }


if __name__ == "__main__":
    main()
