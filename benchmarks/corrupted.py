"""Ten thousand corrupted files: each ends in an error of ours or in a right result, in time and in memory.

    python benchmarks/corrupted.py [--cases 10000]

Good files of every kind are harmed by a seed (tests/corruption.py) and read by a process that is watched: more than 10
seconds for one file, more than 2 GiB, or a crash are counted, and the next file is read by another process. Right is
what equals the good file's content. Some kinds have no checksum (a stream of before torch 1.6, .safetensors, ONNX): a
bit that is flipped in a weight is a weight there, and is counted as *other values*; elsewhere that is an error.
"""

from __future__ import annotations

import argparse
import collections
import datetime
import json
import os
import select
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
TESTS = ROOT / "tests"
sys.path.insert(0, str(TESTS))

import corruption  # noqa: E402

from bnexport.isolation.limits import resident  # noqa: E402
from bnexport.report import versions  # noqa: E402

RESULTS = Path(__file__).parent / "results" / "corrupted.json"
SECONDS, BYTES = 10.0, 2 << 30
CHECKED = ("module.zip.pt", "weights.zip.pt", "program.pt2", "net.engine")


def main() -> int:
    """Harm, read, count, write."""
    parser = argparse.ArgumentParser(description="read corrupted files")
    parser.add_argument("--cases", type=int, default=10_000)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--out", type=Path, default=RESULTS)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        good, place = Path(name) / "good", Path(name) / "place"
        good.mkdir()
        place.mkdir()
        files = corruption.good_files(good)
        (good / "files.json").write_text(json.dumps(list(files)))
        rows = list(read(good, place, given.first, given.first + given.cases))
    result = {
        "command": f"python benchmarks/corrupted.py --cases {given.cases} --first {given.first}",
        "date": datetime.date.today().isoformat(),
        "cases": len(rows),
        "outcomes": counted(rows, "outcome"),
        "by kind": {kind: counted(rows, "outcome", kind=kind) for kind in files},
        "by harm": counted(rows, "harm"),
        "slowest, in seconds": round(max(row["seconds"] for row in rows), 2),
        "wrong": [row for row in rows if is_wrong(row)][:50],
        "versions": versions(),
    }
    given.out.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result, indent=1))
    return int(bool(result["wrong"]))


def counted(rows: list[dict[str, Any]], field: str, **only: str) -> dict[str, int]:
    """How many rows have each value of a field."""
    chosen = [row for row in rows if all(row[key] == value for key, value in only.items())]
    return dict(sorted(collections.Counter(row[field][:40] for row in chosen).items()))


def is_wrong(row: dict[str, Any]) -> bool:
    """Whether a promise was broken."""
    if row["outcome"] == "other values":
        return row["kind"] in CHECKED
    return row["outcome"] not in ("refused", "the same", "shown")


def read(good: Path, place: Path, first: int, last: int) -> Iterator[dict[str, Any]]:
    """One row a case."""
    while first < last:
        for row in _watched(good, place, first, last):
            yield row
            first = row["seed"] + 1


def _watched(good: Path, place: Path, first: int, last: int) -> Iterator[dict[str, Any]]:
    """The rows of one process, until it is done, or has to be stopped over a case."""
    command = [sys.executable, str(TESTS / "corruption_worker.py"), good, place, first, last]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(TESTS), *sys.path])}
    with subprocess.Popen(
        [str(word) for word in command],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=environment,
    ) as process:
        assert process.stdout is not None
        case: dict[str, Any] = {}
        start = time.monotonic()
        while True:
            ended = _ended(process, start if case else None)
            if ended:
                process.kill()
                if case:
                    yield {**case, "outcome": ended, "seconds": time.monotonic() - start}
                return
            line = process.stdout.readline()
            if not line:
                if case:
                    code = process.wait()
                    yield {**case, "outcome": f"crash ({code})", "seconds": 0.0}
                return
            row = json.loads(line)
            if "begin" in row:
                case = {"seed": row["begin"], "kind": row["kind"], "harm": row["harm"]}
                start = time.monotonic()
            else:
                case = {}
                yield {**row, "seconds": time.monotonic() - start}


def _ended(process: subprocess.Popen[str], start: float | None) -> str:
    """Why a process has to be stopped; empty once there is a line to read."""
    while not select.select([process.stdout], [], [], 0.05)[0]:
        if start is not None and time.monotonic() - start > SECONDS:
            return "hang"
        if resident(process.pid) > BYTES:
            return "memory"
    return ""


if __name__ == "__main__":
    sys.exit(main())
