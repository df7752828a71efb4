"""What the worker process costs a conversion: whole processes, with it and without, by turns.

python benchmarks/isolation_cost.py [--rounds 7]
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import torch

from bnexport.report import versions

RESULTS = Path(__file__).parent / "results" / "isolation_cost.json"


def main() -> int:
    """Convert by turns, compare."""
    parser = argparse.ArgumentParser(description="what the worker process costs")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--out", type=Path, default=RESULTS)
    given = parser.parse_args()
    found = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for case, arguments in cases(folder).items():
            rounds = [
                (once(arguments, []), once(arguments, ["--in-process"]))
                for _ in range(given.rounds)
            ]
            wall = [apart[0] - here[0] for apart, here in rounds]
            cpu = [apart[1] - here[1] for apart, here in rounds]
            found[case] = {
                "wall, in process": round(statistics.median(here[0] for _, here in rounds), 2),
                "wall, more with the worker": [round(each, 2) for each in sorted(wall)],
                "median": round(statistics.median(wall), 2),
                "cpu, more with the worker, median": round(statistics.median(cpu), 2),
            }
            print(case, json.dumps(found[case]), flush=True)
    result = {
        "command": f"python benchmarks/isolation_cost.py --rounds {given.rounds}",
        "date": datetime.date.today().isoformat(),
        "cpus": os.cpu_count(),
        "seconds": found,
        "versions": versions(),
    }
    given.out.write_text(json.dumps(result, indent=1) + "\n")
    return 0


def cases(folder: Path) -> dict[str, list[str]]:
    """A module of PyTorch, where onnxsim is apart; and an ONNX file, where all is."""
    import zoo

    import bnexport

    net = zoo.torchvision_model("mobilenet_v3_small")
    torch.save(net.state_dict(), folder / "net.pt")
    (folder / "net.py").write_text(
        "import zoo\nbuild = lambda: zoo.torchvision_model('mobilenet_v3_small')\n"
    )
    bnexport.convert(net, folder / "net.onnx", inputs=["Nx3x224x224"], fold=False, simplify=False)
    to = ["-o", str(folder / "out.onnx"), "--force", "--quiet", "--batch", "1,2"]
    weights = [str(folder / "net.pt"), "--arch", "net:build", "--input", "Nx3x224x224"]
    return {
        "MobileNetV3-small, PyTorch": [*weights, *to],
        "MobileNetV3-small, ONNX": [str(folder / "net.onnx"), *to],
    }


def once(arguments: list[str], more: list[str]) -> tuple[float, float]:
    """Seconds of wall time and of processor time, children included."""
    folder = Path(arguments[0]).parent
    path = os.pathsep.join([str(folder), str(Path(__file__).parent), *filter(None, sys.path)])
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    start = time.perf_counter()
    command = [sys.executable, "-m", "bnexport", "convert", *arguments, *more]
    subprocess.run(command, check=True, env=os.environ | {"PYTHONPATH": path})
    wall = time.perf_counter() - start
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


if __name__ == "__main__":
    sys.exit(main())
