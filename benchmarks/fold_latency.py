"""Time what bnexport exports in ONNX Runtime against what others export of the same network.

    python benchmarks/fold_latency.py --work DIR [--only NETWORK ...] [--quick]

Each network, batch size and number of threads is measured pair by pair (`paired`), and only files that agree
with PyTorch in float64 take part. Files with the same operators in the same order are measured once, and not at
all where they are bnexport's own. The exports, and the numbers of each network, are kept below DIR: a second run
continues the first, and measures a network anew when its files have changed. The first column of the table is
the ratio to the best of the others: above 1 another one's file is faster.
"""

from __future__ import annotations

import argparse
import datetime
import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from census import census, program
from paired import measure
from peers import OURS, PEERS, Exports, export
from sessions import pin, relative_error, runner

from bnexport.report.document import versions

NETWORKS = (
    "resnet50",
    "mobilenetv3_small_100",
    "densenet121",
    "repvgg_a0",
    "mobileone_s0",
    "repvit_m0_9",
    "resnetv2_50",
    "unet",
    "inception_v3",
    "levit_128s",
)
BATCHES = (1, 16)
THREADS = (1, 2)
MACHINE = "two shared CPU cores"
WRONG = 1e-4  # relative error in the norm; float32 rounding leaves 1e-7 to 1e-5 in these networks
SAME = {"cpu": 1.0, "cpu_interval": [1.0, 1.0], "wall": 1.0}
RESULTS = Path(__file__).parent / "results"

Row = dict[str, Any]


def main() -> None:
    """Measure and write both tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--work", type=Path, required=True, help="where exports and numbers are kept"
    )
    parser.add_argument("--out", type=Path, default=RESULTS / "fold_latency.json")
    parser.add_argument("--only", nargs="+", default=list(NETWORKS), metavar="NETWORK")
    parser.add_argument("--budget", type=float, default=20.0, help="seconds for a pair, at most")
    parser.add_argument("--quick", action="store_true", help="batch 1, one thread, 5 s a pair")
    given = parser.parse_args()
    batches, threads = ((1,), (1,)) if given.quick else (BATCHES, THREADS)
    budget = 5.0 if given.quick else given.budget
    rows: list[Row] = []
    for name in given.only:
        exports = export(name, given.work)
        stored = exports.folder / f"latency-{_key(exports, batches, threads, budget)}.json"
        if not stored.exists():
            stored.write_text(json.dumps(_network(exports, batches, threads, budget), indent=1))
        rows.append(json.loads(stored.read_text()))
        print(*_lines(rows[-1]), sep="\n", flush=True)
    _write(given.out, rows, f"--budget {budget:g}" + " --quick" * given.quick)


def _network(
    exports: Exports, batches: tuple[int, ...], threads: tuple[int, ...], budget: float
) -> Row:
    """Every cell of one network."""
    x, expected = exports.reference
    files = {name: path for name, path in exports.paths.items() if name in (OURS, *PEERS)}
    errors = {name: relative_error(path, x, expected) for name, path in files.items()}
    right = [name for name in PEERS if errors.get(name, np.inf) < WRONG]
    same = _same([OURS, *right], files)
    cells = []
    for batch in batches:
        sample = np.random.default_rng(batch).standard_normal((batch, *exports.sample))
        for count in threads:
            pin(count)
            load = partial(runner, x=sample.astype(np.float32), threads=count)
            ratios = {
                name: asdict(
                    measure(partial(load, files[OURS]), partial(load, files[name]), budget)
                )
                for name in right
                if name not in same
            }
            ratios |= {name: ratios.get(first, SAME) for name, first in same.items()}
            cells.append({"batch": batch, "threads": count, "ratios": ratios})
    pin(1)
    return {
        "network": exports.name,
        "batch_norms": exports.batch_norms,
        "census": {name: asdict(census(path)) for name, path in files.items()},
        "relative_error": errors,
        "failed": exports.errors,
        "same": same,
        "ours_agrees": errors[OURS] < WRONG,
        "cells": cells,
    }


def _same(names: list[str], files: dict[str, Path]) -> dict[str, str]:
    """Whose file computes the same operators in the same order as an earlier one's: measured once for both."""
    first: dict[str, str] = {}
    found = {}
    for name in names:
        shape = program(files[name])
        if shape in first:
            found[name] = first[shape]
        first.setdefault(shape, name)
    return found


def _key(exports: Exports, *settings: object) -> str:
    """Changes with any of the files and with what is measured."""
    hashed = hashlib.sha256(repr(settings).encode())
    for path in exports.paths.values():
        hashed.update(path.read_bytes())
    return hashed.hexdigest()[:12]


def _write(out: Path, rows: list[Row], settings: str) -> None:
    date = datetime.date.today().isoformat()
    command = f"python benchmarks/fold_latency.py --work DIR {settings}"
    facts = {"command": command, "date": date, "machine": MACHINE, "versions": versions()}
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps({**facts, "networks": rows}, indent=1) + "\n")
    libraries = ", ".join(
        f"{name} {versions()[name]}" for name in ("torch", "onnxsim", "onnxruntime")
    )
    head = [
        "# Latency in ONNX Runtime, ours over theirs",
        "",
        f"Ratios of processor time; below 1 bnexport's file is faster. {MACHINE.capitalize()}, {date}, "
        f"{libraries}. In brackets the 95 % interval of the median, and the ratio of wall time. "
        f"Command: `{command}`.",
        "",
        f"| network | batch | threads | best other | {' | '.join(PEERS)} |",
        f"|{'---|' * (4 + len(PEERS))}",
    ]
    table = [line for row in rows for line in _lines(row)]
    out.with_suffix(".md").write_text("\n".join([*head, *table, "", *_contents(rows)]) + "\n")


def _lines(row: Row) -> Iterator[str]:
    """The rows of the table that are about one network."""
    for cell in row["cells"]:
        ratios = cell["ratios"]
        best = f"{max(each['cpu'] for each in ratios.values()):.2f}" if ratios else "none"
        shown = [
            f"as {row['same'][name]}'s"
            if name in row["same"]
            else _shown(ratios[name])
            if name in ratios
            else "no right file"
            for name in PEERS
        ]
        where = f"{row['network']} | {cell['batch']} | {cell['threads']}"
        yield f"| {where} | {best if row['ours_agrees'] else 'WRONG'} | {' | '.join(shown)} |"


def _shown(ratio: dict[str, Any]) -> str:
    low, high = ratio["cpu_interval"]
    return f"{ratio['cpu']:.3f} [{low:.2f}, {high:.2f}; {ratio['wall']:.2f}]"


def _contents(rows: list[Row]) -> Iterator[str]:
    """The second table: what the files hold."""
    yield "Nodes, and BatchNormalization among them; relative error against PyTorch in float64."
    yield ""
    yield f"| network | BatchNorms | {' | '.join((OURS, *PEERS))} |"
    yield f"|{'---|' * (3 + len(PEERS))}"
    for row in rows:
        shown = []
        for name in (OURS, *PEERS):
            held, error = row["census"].get(name), row["relative_error"].get(name)
            shown.append(
                f"{held['nodes']}, {held['batch_norms']}; {error:.0e}" if held else "failed"
            )
        yield f"| {row['network']} | {row['batch_norms']} | {' | '.join(shown)} |"


if __name__ == "__main__":
    main()
