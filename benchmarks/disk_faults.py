"""Fail every operation on the disk in turn, and kill the conversion at every one: is what is left old or new?

    python benchmarks/disk_faults.py

A conversion with external data replaces an older one. Each operation on the folder (opening for writing, writing,
fsync, rename, link, unlink, mkdir, ...) fails with EIO, with ENOSPC and with EROFS, once and from there on; and at each
the process is killed (SIGKILL). Judged is what lies there at once, and after the next run of bnexport in that folder.
"""

from __future__ import annotations

import argparse
import collections
import datetime
import errno
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from faults import disk  # noqa: E402

from bnexport.report import versions  # noqa: E402

RESULTS = Path(__file__).parent / "results" / "disk_faults.json"
CODES = ("EIO", "ENOSPC", "EROFS")


def main() -> int:
    """Run, count, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--out", type=Path, default=RESULTS)
    given = parser.parse_args()
    result: dict[str, Any] = {
        "command": "python benchmarks/disk_faults.py",
        "date": datetime.date.today().isoformat(),
        "versions": versions(),
    }
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        shim = disk.compiled(folder)
        if shim is None:
            print("no C compiler, or not Linux")
            return 1
        for source, options in sources(folder).items():
            rows = list(run(shim, folder, source, options))
            result[source] = told(rows)
            print(source, json.dumps(result[source], indent=1), flush=True)
    given.out.write_text(json.dumps(result, indent=1) + "\n")
    return int(any(each["wrong"] for each in result.values() if "wrong" in each))


def sources(folder: Path) -> dict[str, tuple[str, ...]]:
    """A model of PyTorch, and an ONNX file with external data, with the options of each."""
    import torch

    import bnexport

    torch.manual_seed(0)
    net = torch.nn.Sequential(
        *(torch.nn.Conv2d(3, 32, 3), torch.nn.BatchNorm2d(32), torch.nn.ReLU()),
        *(torch.nn.Conv2d(32, 8, 3), torch.nn.BatchNorm2d(8)),
    )
    torch.save(net, folder / "model.pt")
    shape = ["Nx3x12x12"]
    bnexport.convert(
        net, folder / "model.onnx", inputs=shape, external_data=True, fold=False, simplify=False
    )
    return {"model.pt": ("--input", *shape), "model.onnx": ()}


def run(shim: Path, folder: Path, source: str, options: tuple[str, ...]) -> Any:
    """Every fault of one source's conversion."""
    work, model = folder / f"work-{source}", folder / source
    (count,) = disk.run(shim, work / "count", model, [(-1, 0, False)], *options, "--in-process")
    operations = range(count["operations"])
    plan = [(at, disk.KILL, False) for at in operations]
    for code in CODES:
        plan += [(at, getattr(errno, code), lasting) for at in operations for lasting in (0, 1)]
    yield from disk.run(shim, work / "faults", model, plan, *options, "--in-process")


def told(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Counts, and whatever is neither the old nor the new artifact."""
    outcomes = collections.Counter(
        f"{'killed' if row['killed'] else 'exit ' + str(row['exit'])}: {row['at once']}"
        for row in rows
    )
    wrong = [row for row in rows if is_wrong(row)]
    return {
        "operations": 1 + max(row["operation"] for row in rows),
        "runs": len(rows),
        "by operation": dict(collections.Counter(row["name"] or "killed" for row in rows)),
        "outcomes": dict(outcomes),
        "with temporary files until the next run": sum(bool(row["left"]) for row in rows),
        "wrong": wrong,
    }


def is_wrong(row: dict[str, Any]) -> bool:
    """Whether a promise was broken.

    Killed amid the moves, or with a disk that takes nothing any more, a report of the new artifact may lie beside the
    old one, which is whole, until the next run; or the old one's data, beside the new one.
    """
    if row["after the next run"] not in ("old", "new") or row["left after the next run"]:
        return True
    if row["at once"] == "broken":
        return True
    if row["killed"] or row["lasting"]:
        return False
    if row["exit"] == 0:
        return not row["at once"].startswith("new")
    return row["exit"] != 2 or row["at once"] == "old artifact"


if __name__ == "__main__":
    sys.exit(main())
