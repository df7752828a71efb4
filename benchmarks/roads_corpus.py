"""Both captures on a corpus of hard modules: the same outputs, no more operators, the same ledger.

python benchmarks/roads_corpus.py CASES.py

CASES.py defines ``CASES``, each with ``name``, ``build()`` and ``inputs(n)``.
Writes benchmarks/results/roads_corpus.json.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import sys
from collections import Counter
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

import numpy as np
import torch
from roads import session_outputs

from bnexport.capture import recorded
from bnexport.capture.export import export
from bnexport.errors import BnexportError
from bnexport.health import batch_norms, examine
from bnexport.inputs import Examples, InputSpec
from bnexport.prepare import prepare
from bnexport.report.document import versions
from bnexport.rewrite import rewrite
from bnexport.signature import Plain, parameter_names

RESULTS = Path(__file__).parent / "results" / "roads_corpus.json"


def main() -> None:
    """Compare, print, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("cases", type=Path)
    given = parser.parse_args()
    spec = importlib.util.spec_from_file_location("cases", given.cases)
    assert spec is not None
    assert spec.loader is not None
    cases = importlib.util.module_from_spec(spec)
    sys.modules["cases"] = cases
    spec.loader.exec_module(cases)
    found = {}
    for case in cases.CASES:
        torch.manual_seed(0)
        found[case.name] = compared(case)
        print(case.name, json.dumps(found[case.name]), flush=True)
    taken = [each for each in found.values() if each.get("taken")]
    summary = {
        "cases": len(found),
        "refused by both": sum("refused" in each for each in found.values()),
        "taken": len(taken),
        "farthest apart": max(each["apart"] for each in taken),
        "more operators": [n for n, each in found.items() if each.get("more_operators")],
        "another ledger": [n for n, each in found.items() if each.get("same_ledger") is False],
    }
    print(json.dumps(summary))
    result = {"versions": versions(), "summary": summary, "cases": found}
    RESULTS.write_text(json.dumps(result, indent=1) + "\n")


def compared(case: Any) -> dict[str, Any]:
    """One case by both roads, folded, at a batch that neither has seen."""
    model = case.build().eval()
    names = parameter_names(model)
    inputs = case.inputs(3)
    specs = tuple(
        InputSpec(name, (None, *x.shape[1:]), str(x.dtype).removeprefix("torch."))
        for name, x in zip(names, inputs, strict=False)
    )
    examples = Examples(specs)
    try:
        module = prepare(model, examples).module
        plain = Plain(module, [spec.name for spec in specs]).eval()
        examine(module, examples.batch(2), plain.inputs)
    except BnexportError as error:
        return {"refused": str(error)[:150]}
    with torch.no_grad():
        plain(*examples.batch(2))
    facts = batch_norms(module)
    fast = recorded(plain, examples)
    if isinstance(fast, str):
        return {"taken": False, "why": fast}
    ours = rewrite(fast.model, facts, simplify=False, computed=True)
    theirs = rewrite(export(plain, examples, 20).model, facts, simplify=False)
    arrays = [x.numpy() for x in examples.batch(3, seed=5)]
    a, b = (session_outputs(each, arrays) for each in (ours, theirs))
    kinds = [Counter(node.op_type for node in each.model.graph) for each in (ours, theirs)]
    return {
        "taken": True,
        "apart": max(map(distance, a, b)),
        "operators": [sum(each.values()) for each in kinds],
        "more_operators": sum(kinds[0].values()) > sum(kinds[1].values()),
        "same_ledger": [(r.name, r.fate) for r in ours.ledger.rows]
        == [(r.name, r.fate) for r in theirs.ledger.rows],
    }


def distance(a: np.ndarray, b: np.ndarray) -> float:
    """Relative; infinite where the shapes differ."""
    if a.shape != b.shape:
        return float("inf")
    return float(np.linalg.norm(np.float64(a) - b) / (np.linalg.norm(np.float64(b)) or 1.0))


if __name__ == "__main__":
    main()
