"""What each part of a conversion costs, by proof: seconds of processor time, medians over fresh processes.

python benchmarks/speed/parts.py [--rounds 3] [--work DIR]     writes benchmarks/results/speed_parts.json
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

import nets

HERE = Path(__file__).parent
RESULTS = HERE.parent / "results" / "speed_parts.json"
NAMES = ("resnet50", "mobilenetv3", "densenet121", "yolov8n", "unet", "audio")
PROOFS = ("quick", "full", "thorough")


def main() -> None:
    """Measure, print, write; with ``--once`` it is the process that is measured."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--work", type=Path)
    parser.add_argument("--once", nargs=3, metavar=("NAME", "CHECKPOINT", "PROOF"))
    given = parser.parse_args()
    if given.once:
        print(json.dumps(once(*given.once)))
        return
    from bnexport.report import versions

    with tempfile.TemporaryDirectory() as folder:
        work = given.work or Path(folder)
        found = {name: measured(name, work, given.rounds) for name in NAMES}
    result = {
        "command": f"python benchmarks/speed/parts.py --rounds {given.rounds}",
        "date": datetime.date.today().isoformat(),
        "cpus": os.cpu_count(),
        "versions": versions(),
        "cpu_seconds": found,
    }
    RESULTS.write_text(json.dumps(result, indent=1) + "\n")


def measured(name: str, work: Path, rounds: int) -> dict[str, dict[str, float]]:
    """By proof, then by part."""
    checkpoint = work / f"{name}.pt"
    if not checkpoint.exists():
        subprocess.run([sys.executable, str(HERE / "nets.py"), str(work), name], check=True)
    found = {}
    for proof in PROOFS:
        command = [sys.executable, __file__, "--once", name, str(checkpoint), proof]
        environment = {**os.environ, "PYTHONPATH": str(HERE)}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        runs = [
            json.loads(subprocess.run(command, env=environment, capture_output=True).stdout)
            for _ in range(rounds)
        ]
        parts = {part: [run.get(part, 0.0) for run in runs] for part in runs[0]}
        found[proof] = {
            part: round(statistics.median(seconds), 3) for part, seconds in parts.items()
        }
        print(name, proof, json.dumps(found[proof]), flush=True)
    return found


def once(name: str, checkpoint: str, proof: str) -> dict[str, float]:
    """One conversion in this process."""
    from bnexport.cli.process import prepare

    prepare()
    from bnexport.convert import convert

    last = time.process_time()  # since the process began
    parts = {"imports": last}

    def observe(event) -> None:
        nonlocal last
        now = time.process_time()
        told = event.stage == "verify" and event.status == "step"
        part = f"verify: {event.text}" if told else event.stage
        parts[part] = parts.get(part, 0.0) + now - last
        last = now

    shape = "x".join(map(str, nets.shape_of(name)))
    with tempfile.TemporaryDirectory() as folder:
        convert(
            *(checkpoint, Path(folder) / "net.onnx"),
            allow=["nets"],
            inputs=[f"Nx{shape}"],
            batch=(1, 2),
            proof=proof,
            capture="fast",
            observe=observe,
        )
    return parts


if __name__ == "__main__":
    main()
