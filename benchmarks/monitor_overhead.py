"""What a `DriftMonitor` costs a serving network: ResNet-50 at batch 1 on the processor, calls in turn.

    python benchmarks/monitor_overhead.py [--calls 400]

One copy of the network is plain, one has a monitor attached that never observes, one is observed at every call. Each
round calls every copy once, in an order drawn anew, so that what else the machine does falls on all alike. The cost of
each is the median of the rounds' ratios to the plain one; that of observing one call in n follows: the attached one's,
and an n-th of what observing adds to it.
"""

from __future__ import annotations

import argparse
import copy
import datetime
import json
import random
import statistics
import sys
import time
from pathlib import Path

import torch
from zoo import timm_model

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import bnexport  # noqa: E402
from bnexport.report.document import versions  # noqa: E402

EVERY = (1, 8, 16, 32, 64)
NEVER = 10**12
RESULTS = Path(__file__).parent / "results"


def main() -> int:
    """Time, print and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=200)
    parser.add_argument("--network", default="resnet50")
    parser.add_argument("--out", type=Path, default=RESULTS / "monitor_overhead.json")
    given = parser.parse_args()
    torch.set_num_threads(1)
    net, x = timm_model(given.network), torch.randn(1, 3, 224, 224)
    copies = {"plain": net, "attached": copy.deepcopy(net), "observed": copy.deepcopy(net)}
    bnexport.DriftMonitor(copies["attached"], every=NEVER, seed=0).attach()
    watched = bnexport.DriftMonitor(copies["observed"], every=1).attach()
    seconds: dict[str, list[float]] = {name: [] for name in copies}
    draw = random.Random(0)
    with torch.inference_mode():
        for call in range(given.calls + 3):
            for name in draw.sample(list(copies), len(copies)):
                start = time.perf_counter()
                copies[name](x)
                if call >= 3:
                    seconds[name].append(time.perf_counter() - start)
    attached, observed = (
        _ratio(seconds[name], seconds["plain"]) for name in ("attached", "observed")
    )
    each = observed - attached
    rows = [{"every": every, "overhead": attached - 1 + each / every} for every in EVERY]
    if watched.state().samples != given.calls + 3:
        raise RuntimeError("not every call was observed")
    result = {
        "command": f"python benchmarks/monitor_overhead.py --calls {given.calls}",
        "date": datetime.date.today().isoformat(),
        "network": given.network,
        "milliseconds a call": 1000 * statistics.median(seconds["plain"]),
        "attached, never observing": attached - 1,
        "observing every call": observed - 1,
        "rows": rows,
        "versions": versions(),
    }
    given.out.write_text(json.dumps(result, indent=1) + "\n")
    print(result["attached, never observing"], result["observing every call"], *rows, sep="\n")
    return 0


def _ratio(times: list[float], plain: list[float]) -> float:
    return statistics.median(a / b for a, b in zip(times, plain, strict=True))


if __name__ == "__main__":
    sys.exit(main())
