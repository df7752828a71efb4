"""Thousands of hostile files: none of them may run anything, and most of them do when they are read the plain way.

    python benchmarks/hostile.py

Two processes. In the one bnexport reads every file, by two roads, and an audit hook hears all that happens meanwhile:
imports, code objects run, files opened, processes, sockets. In the other the same pickles are read by ``pickle``, and
the archives by ``torch.export.load``, which shows that the canaries work.
"""

from __future__ import annotations

import argparse
import collections
import datetime
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
TESTS = ROOT / "tests"
sys.path.insert(0, str(TESTS))

from bnexport.report import versions  # noqa: E402

RESULTS = Path(__file__).parent / "results" / "hostile.json"


def main() -> int:
    """Judge, count, write."""
    parser = argparse.ArgumentParser(description="read hostile files, and see what they do")
    parser.add_argument("--out", type=Path, default=RESULTS)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        rows = judged(Path(name), 0)
    with tempfile.TemporaryDirectory() as name:
        fired = plainly(Path(name))
    kinds = collections.Counter(row["kind"] for row in rows if not row["road"])
    outcomes = collections.Counter(f"{row['kind']}: {row['outcome']}" for row in rows)
    result = {
        "command": "python benchmarks/hostile.py",
        "date": datetime.date.today().isoformat(),
        "files": dict(kinds),
        "readings": len(rows),
        "outcomes": dict(sorted(outcomes.items())),
        "canaries": sum(row["fired"] for row in rows),
        "audit events": sum(len(row["events"]) for row in rows),
        "tracebacks": sum(row["outcome"] == "traceback" for row in rows),
        "hangs": sum(row["outcome"] == "hang" for row in rows),
        "slowest, in seconds": round(max(row["seconds"] for row in rows), 2),
        "wrong": [row for row in rows if is_wrong(row)][:20],
        "read the plain way, canaries": fired,
        "versions": versions(),
    }
    given.out.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result, indent=1))
    return int(bool(result["wrong"]))


def judged(folder: Path, every: int) -> list[dict[str, Any]]:
    """What bnexport makes of each file; of pickles, each so many-th."""
    command = [sys.executable, str(TESTS / "hostile" / "judge.py"), str(folder), str(every)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


def is_wrong(row: dict[str, Any]) -> bool:
    """Whether anything ran, or the reader broke."""
    return bool(row["fired"] or row["events"] or row["outcome"] in ("traceback", "hang"))


def plainly(folder: Path) -> dict[str, int]:
    """How many canaries fire when the files are believed."""
    command = [sys.executable, str(TESTS / "hostile" / "believe.py"), str(folder)]
    done = subprocess.run(
        command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    counts: dict[str, int] = json.loads(done.stdout.splitlines()[-1])
    return counts


if __name__ == "__main__":
    sys.exit(main())
