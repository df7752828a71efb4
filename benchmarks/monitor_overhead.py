"""What a `DriftMonitor` costs a serving network: ResNet-50 at batch 1 on the processor, calls in turn.

    python benchmarks/monitor_overhead.py [--calls 400]

One copy of the network is plain, the others are watched at one call in so many; each round calls every copy once, in an
order drawn anew, so that what else the machine does falls on all alike. The overhead is the ratio of the mean times: a
median would leave out the very calls that are observed.
"""

from __future__ import annotations

import argparse
import copy
import datetime
import json
import random
import sys
import time
from pathlib import Path

import torch
from zoo import timm_model

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import bnexport  # noqa: E402
from bnexport.report.document import versions  # noqa: E402

EVERY = (1, 16, 32, 64)
RESULTS = Path(__file__).parent / "results"


def main() -> int:
    """Time, print and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=400)
    parser.add_argument("--network", default="resnet50")
    parser.add_argument("--out", type=Path, default=RESULTS / "monitor_overhead.json")
    given = parser.parse_args()
    torch.set_num_threads(1)
    net, x = timm_model(given.network), torch.randn(1, 3, 224, 224)
    copies = {0: net} | {every: copy.deepcopy(net) for every in EVERY}
    monitors = {
        every: bnexport.DriftMonitor(copies[every], every=every, seed=every).attach()
        for every in EVERY
    }
    seconds: dict[int, list[float]] = {every: [] for every in copies}
    draw = random.Random(0)
    with torch.inference_mode():
        for call in range(given.calls + 3):
            for every in draw.sample(list(copies), len(copies)):
                start = time.perf_counter()
                copies[every](x)
                if call >= 3:
                    seconds[every].append(time.perf_counter() - start)
    plain = sum(seconds[0]) / given.calls
    rows = [
        {
            "every": every,
            "overhead": sum(seconds[every]) / given.calls / plain - 1,
            "observed": monitors[every].state().samples,
        }
        for every in EVERY
    ]
    result = {
        "command": f"python benchmarks/monitor_overhead.py --calls {given.calls}",
        "date": datetime.date.today().isoformat(),
        "network": given.network,
        "milliseconds a call": 1000 * plain,
        "rows": rows,
        "versions": versions(),
    }
    given.out.write_text(json.dumps(result, indent=1) + "\n")
    print(*rows, sep="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
