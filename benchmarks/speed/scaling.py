"""How a conversion grows with the network: time and memory over a factor of ten to a hundred, each size a process.

python benchmarks/speed/scaling.py [--work DIR] [--rounds 3] [--only chain,...]

Writes benchmarks/results/scaling.json and scaling.svg; needs matplotlib. A line is fitted in logarithms to the three
largest: its slope is the power of the size with which the time grows, what is there whatever the size (imports) taken
off.
"""

from __future__ import annotations

import argparse
import datetime
import json
import math
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import nets
from rounds import by_turns, median

from bnexport.report import versions

HERE = Path(__file__).parent
RESULTS = HERE.parent / "results"
# What grows, the names of the networks, and how large each is.
FAMILIES: dict[str, tuple[str, dict[str, float]]] = {
    "chain": (
        "layers in a row, each with a BatchNorm",
        {f"chain-{n}": n for n in (50, 150, 500, 1500, 5000)},
    ),
    "dense": (
        "layers of one dense block, each reads all before it",
        {f"dense-{n}": n for n in (8, 16, 32, 64, 128)},
    ),
    "width": (
        "megabytes of weights (ResNet-50, wider)",
        {f"width-{n}": 0 for n in (32, 64, 128, 224, 352)},
    ),
}


def main() -> None:
    """Measure, write, draw."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", default=",".join(FAMILIES))
    parser.add_argument("--out", type=Path, default=RESULTS / "scaling", help="less its suffix")
    given = parser.parse_args()
    work = given.work or Path(tempfile.mkdtemp())
    work.mkdir(parents=True, exist_ok=True)
    found = {}
    for family in given.only.split(","):
        found[family] = measured(family, work, given.rounds)
        result = {
            "command": f"python benchmarks/speed/scaling.py --rounds {given.rounds}",
            "date": datetime.date.today().isoformat(),
            "cpus": os.cpu_count(),
            "versions": versions(),
            "families": found,
        }
        given.out.with_suffix(".json").write_text(json.dumps(result, indent=1) + "\n")
    draw(found, given.out.with_suffix(".svg"))
    for family, each in found.items():
        print(family, "cpu grows with the power", each["power"], "of the", FAMILIES[family][0])
    if not given.work:
        shutil.rmtree(work)


def measured(family: str, work: Path, rounds: int) -> dict[str, Any]:
    """Every size of one family, and the smallest network there is, for what does not grow."""
    sizes = dict(FAMILIES[family][1])
    names = ["chain-1", *sizes]
    commands = {}
    for name in names:
        checkpoint = work / f"{name}.pt"
        if not checkpoint.exists():
            subprocess.run([sys.executable, str(HERE / "nets.py"), str(work), name], check=True)
        if family == "width" and name in sizes:
            sizes[name] = checkpoint.stat().st_size / 1e6
        commands[name] = command(name, checkpoint, work)
    runs = by_turns(commands, rounds, work / "log")
    fixed = median(runs["chain-1"], "cpu") or 0.0
    points = [
        {
            "size": round(sizes[name]),
            "wall_s": median(runs[name], "wall"),
            "cpu_s": median(runs[name], "cpu"),
            "peak_mb": median(runs[name], "peak"),
        }
        for name in sizes
    ]
    return {
        "fixed_cpu_s": fixed,
        "points": points,
        "power": power([(p["size"], p["cpu_s"] - fixed) for p in points[-3:]]),
    }


def command(name: str, checkpoint: Path, work: Path) -> list[str]:
    """The conversion, with the proof that costs least: what is measured is the road."""
    shape = "x".join(map(str, nets.shape_of(name)))
    return [
        *(str(Path(sys.executable).with_name("bnexport")), "convert", str(checkpoint)),
        *("--allow", "nets", "-o", str(work / "out.onnx"), "--input", f"Nx{shape}"),
        *("--batch", "1,2", "--proof", "quick", "--capture", "fast", "--force", "--quiet"),
    ]


def power(points: list[tuple[float, float]]) -> float:
    """The slope of the line through the logarithms, by least squares."""
    logs = [(math.log(x), math.log(max(y, 1e-3))) for x, y in points]
    mean_x, mean_y = (sum(values) / len(logs) for values in zip(*logs, strict=True))
    above = sum((x - mean_x) * (y - mean_y) for x, y in logs)
    return round(above / sum((x - mean_x) ** 2 for x, _ in logs), 2)


def draw(found: dict[str, Any], path: Path) -> None:
    """Time and memory, one column a family."""
    import matplotlib

    matplotlib.use("svg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(2, len(found), figsize=(4.2 * len(found), 6), squeeze=False)
    for column, (family, each) in enumerate(found.items()):
        sizes = [point["size"] for point in each["points"]]
        for row, (what, label) in enumerate(
            (("cpu_s", "processor seconds"), ("peak_mb", "peak memory, MB"))
        ):
            axis = axes[row][column]
            values = [point[what] for point in each["points"]]
            axis.plot(sizes, values, "o-", color="#1f6f8b")
            slope = (values[-1] - values[0]) / (sizes[-1] - sizes[0])
            axis.plot(
                sizes,
                [values[0] + slope * (x - sizes[0]) for x in sizes],
                "--",
                color="#999999",
                linewidth=1,
            )
            axis.set_ylim(0)
            axis.set_xlim(0)
            axis.set_ylabel(label)
            axis.spines[["top", "right"]].set_visible(False)
        axes[0][column].set_title(f"{family}: power {each['power']}", fontsize=10)
        axes[1][column].set_xlabel(FAMILIES[family][0], fontsize=8)
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})


if __name__ == "__main__":
    main()
