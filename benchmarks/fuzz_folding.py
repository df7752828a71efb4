"""Fold random graphs and compare each with what it was: what the tests do, for as many graphs as wanted.

    python benchmarks/fuzz_folding.py --graphs 50000 [--first SEED] [--out FILE]

A seed gives one graph, so a fault is found again by its seed. Ends with status 1 when any graph came out wrong.
"""

from __future__ import annotations

import argparse
import datetime
import json
import logging
import random
import sys
import time
import warnings
from collections import Counter
from pathlib import Path

import torch

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from fuzz import draw, folded, wrong  # noqa: E402 - lies beside the tests

from bnexport.report.document import versions  # noqa: E402


def main() -> int:
    """Run, and write what came of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--graphs", type=int, default=50000)
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    torch.set_num_threads(1)
    logging.disable(logging.WARNING)
    warnings.simplefilter("ignore", RuntimeWarning)  # the evaluator's sigmoid overflows
    counts: Counter[str] = Counter()
    before: Counter[str] = Counter()
    after: Counter[str] = Counter()
    faults: list[dict[str, object]] = []
    start = time.perf_counter()
    for seed in range(given.first, given.first + given.graphs):
        fault = _one(seed, counts, before, after)
        if fault:
            faults.append({"seed": seed, "fault": fault})
            print(seed, fault, flush=True)
    result = {
        "command": f"python benchmarks/fuzz_folding.py --graphs {given.graphs} --first {given.first}",
        "date": datetime.date.today().isoformat(),
        "versions": versions(),
        "seconds": round(time.perf_counter() - start),
        **counts,
        "wrong": len(faults),
        "faults": faults,
        "operators": {op: {"before": n, "after": after[op]} for op, n in before.most_common()},
    }
    if given.out:
        given.out.write_text(json.dumps(result, indent=1) + "\n")
    print({name: result[name] for name in ("graphs", "shorter", "wrong", "seconds")})
    return 1 if faults else 0


def _one(seed: int, counts: Counter[str], before: Counter[str], after: Counter[str]) -> str:
    """Count one graph; what is wrong with it, if anything is."""
    sketch = draw(random.Random(seed))
    model = sketch.model()
    if not model.graph.output:
        return ""
    counts["graphs"] += 1
    before.update(node.op_type for node in model.graph.node)
    try:
        result = folded(model)
        fault = wrong(sketch, model, result)
    except Exception as error:  # a pass that raises is a fault like another, and has its seed
        return f"{type(error).__name__}: {str(error)[:300]}"
    after.update(node.op_type for node in result.graph)
    real = sum(node.op_type != "Constant" for node in model.graph.node)
    counts["shorter"] += sum(1 for _ in result.graph) < real
    return fault


if __name__ == "__main__":
    sys.exit(main())
