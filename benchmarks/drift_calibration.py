"""The false-alarm rate and the coverage of drift's test, over a thousand healthy runs of each size.

    python benchmarks/drift_calibration.py [--runs 1000]

A network of three BatchNorms is fed pictures whose pixels are correlated. Its running statistics are those of 100,000
such pictures, so that they are healthy; each run draws pictures of its own. An alarm is a p-value, over all layers
together, of at most alpha; the threshold on the divergence, which the product asks for as well, is given apart.
"""

from __future__ import annotations

import argparse
import datetime
import json
import math
import sys
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import bnexport  # noqa: E402
from bnexport.report.document import versions  # noqa: E402

SIZES = (16, 32, 64, 256)
ALPHAS = (0.05, 0.01, 0.001)
POPULATION = 100_000
# Mean shifts of the pictures, for the power of the test.
SHIFTS = (0.05, 0.1, 0.2, 0.4)
RESULTS = Path(__file__).parent / "results"


def main() -> int:
    """Run, print and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--out", type=Path, default=RESULTS / "drift_calibration.json")
    given = parser.parse_args()
    torch.set_num_threads(1)
    net = calibrated()
    healthy = [_healthy(net, size, given.runs) for size in SIZES]
    power = [_power(net, size, shift, given.runs // 10) for size in SIZES for shift in SHIFTS]
    result = {
        "command": f"python benchmarks/drift_calibration.py --runs {given.runs}",
        "date": datetime.date.today().isoformat(),
        "healthy": healthy,
        "power": power,
        "versions": versions(),
    }
    given.out.write_text(json.dumps(result, indent=1) + "\n")
    return 0


def _healthy(net: nn.Module, size: int, runs: int) -> dict[str, Any]:
    made = torch.Generator().manual_seed(size)
    least, called, held = [], 0, []
    for _ in range(runs):
        found = _observed(net, pictures(size, made))
        least.append(min(layer.p for layer in found.layers))
        called += found.drifted
        for layer in found.layers:
            held.append((layer.shift.abs() <= layer.shift_error).double().mean())
            held.append((layer.log_ratio.abs() <= layer.log_ratio_error).double().mean())
    row = {
        "samples": size,
        "runs": runs,
        "alarms": {str(alpha): sum(p <= alpha for p in least) / runs for alpha in ALPHAS},
        "deviation": {str(alpha): math.sqrt(alpha * (1 - alpha) / runs) for alpha in ALPHAS},
        "called drift at the defaults": called / runs,
        "intervals that hold": float(torch.stack(held).mean()),
    }
    print(row, flush=True)
    return row


def _power(net: nn.Module, size: int, shift: float, runs: int) -> dict[str, Any]:
    made = torch.Generator().manual_seed(size)
    found = [_observed(net, pictures(size, made, shift)) for _ in range(runs)]
    row = {
        "samples": size,
        "shift of the pictures": shift,
        "runs": runs,
        "p at most 0.01": sum(min(x.p for x in each.layers) <= 0.01 for each in found) / runs,
        "divergence of the first layer": sum(each.layers[0].divergence for each in found) / runs,
    }
    print(row, flush=True)
    return row


def _observed(net: nn.Module, x: Tensor) -> bnexport.Drift:
    with torch.no_grad(), bnexport.DriftMonitor(net, every=1) as monitor:
        net(x)
    return monitor.judge()


def calibrated() -> nn.Module:
    """The network, with the running statistics of the population."""
    torch.manual_seed(0)
    net = nn.Sequential(
        *(nn.Conv2d(3, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU()),
        *(nn.Conv2d(16, 32, 3, stride=2, bias=False), nn.BatchNorm2d(32), nn.ReLU()),
        *(nn.Conv2d(32, 64, 3, bias=False), nn.BatchNorm2d(64), nn.ReLU()),
        *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10)),
    ).eval()
    made = torch.Generator().manual_seed(1)
    data = [pictures(1000, made) for _ in range(POPULATION // 1000)]
    bnexport.recalibrate(net, data, sequential=True, in_place=True)
    return net


def pictures(count: int, made: torch.Generator, shift: float = 0.0) -> Tensor:
    """Smooth in space, so that a picture's pixels are far from independent."""
    coarse = torch.randn(count, 3, 3, 3, generator=made)
    smooth = nn.functional.interpolate(coarse, size=(12, 12), mode="bilinear")
    return smooth + 0.3 * torch.randn(count, 3, 12, 12, generator=made) + shift


if __name__ == "__main__":
    sys.exit(main())
