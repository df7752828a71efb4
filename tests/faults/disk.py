"""Convert again and again, each time with another operation on the disk that fails, or at which the process is killed.

    python disk.py SHIM FOLDER MODEL PLAN

is run with the shim preloaded (see `run`). It imports everything once and forks for each fault. PLAN is JSON: a list of
[operation, errno (-1: SIGKILL), whether all after it fail, too]. A line of JSON is printed for each.
"""

from __future__ import annotations

import ctypes
import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

__all__ = ["compiled", "run"]

HERE = Path(__file__).parent
KILL = -1
Fault = tuple[int, int, bool]


def compiled(folder: Path) -> Path | None:
    """The shim; None where there is no C compiler, or this is not Linux with glibc."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None or sys.platform != "linux":
        return None
    made = folder / "shim.so"
    command = [compiler, "-shared", "-fPIC", "-O2", "-o", str(made), str(HERE / "shim.c"), "-ldl"]
    return made if subprocess.run(command, check=False).returncode == 0 else None


def run(
    shim: Path, folder: Path, model: Path, plan: Sequence[Fault], *options: str
) -> Iterator[dict[str, Any]]:
    """What became of each fault; operation -1 is none, and counts how many there are."""
    command = [sys.executable, __file__, str(folder), str(model), json.dumps(list(plan)), *options]
    environment = os.environ | {"LD_PRELOAD": str(shim), "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith("{"):
                yield json.loads(line)
    if process.returncode:
        raise RuntimeError(f"the driver ended with {process.returncode}")


def main() -> None:
    from bnexport.cli import main as command
    from bnexport.publish import Staging

    folder, model, plan = Path(sys.argv[1]), Path(sys.argv[2]), json.loads(sys.argv[3])
    shim = ctypes.CDLL(None)
    shim.fault_counted.restype = ctypes.c_long
    shim.fault_said.restype = ctypes.c_char_p
    older, place = folder / "older", folder / "place"
    older.mkdir(parents=True)
    arguments = ["convert", str(model), "--external-data", "--force", "--quiet", *sys.argv[4:]]
    # Another opset: the older artifact has other weights in its file of data, and another graph.
    assert command([*arguments, "--no-fold", "--no-simplify", "-o", str(older / "m.onnx")]) == 0
    for operation, code, lasting in plan:
        shutil.rmtree(place, ignore_errors=True)
        shutil.copytree(older, place)
        before = _contents(place)
        reading, writing = os.pipe()
        child = os.fork()
        if not child:
            os.close(reading)
            shim.fault_arm(os.fsencode(place), operation, code, int(lasting))
            ended = command([*arguments, "-o", str(place / "m.onnx")])
            told = [ended, shim.fault_counted(), shim.fault_said().decode()]
            shim.fault_arm(b"", -1, 0, 0)
            os.write(writing, json.dumps(told).encode())
            os._exit(0)
        os.close(writing)
        with os.fdopen(reading) as pipe:
            said = pipe.read()
        _, status = os.waitpid(child, 0)
        killed = os.WIFSIGNALED(status)
        ended, counted, name = json.loads(said) if said else (None, None, "")
        at_once = _state(place, before)
        left = _left(place)
        with Staging(place / "next.onnx"):
            pass
        print(
            json.dumps(
                {
                    "operation": operation,
                    "code": code,
                    "lasting": lasting,
                    "name": name,
                    "exit": ended,
                    "killed": killed,
                    "operations": counted,
                    "at once": at_once,
                    "left": left,
                    "after the next run": _state(place, before),
                    "left after the next run": _left(place),
                }
            ),
            flush=True,
        )


def _contents(folder: Path) -> dict[str, str]:
    found = {}
    for path in folder.iterdir():
        if path.is_file():
            found[path.name] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found


def _state(place: Path, before: dict[str, str]) -> str:
    """``old``: byte for byte what was there; ``new``: the new artifact, whole; or what else lies there.

    ``old artifact``: the model and its data are the old ones, and what stands beside them is not. ``new, and older
    data``: the old one's data is still to be removed.
    """
    now = _contents(place)
    if now == before:
        return "old"
    if all(now.get(n) == d for n, d in before.items() if n.endswith((".onnx", ".data"))):
        return "old artifact"
    listed = [line.split("  ", 1) for line in (place / "m.onnx.sha256").read_text().splitlines()]
    if not all(now.get(name) == digest for digest, name in listed):
        return "broken"
    more = now.keys() - {"m.onnx.sha256", *(name for _, name in listed)}
    return "new" if not more else "new, and older data" if more <= before.keys() else "broken"


def _left(place: Path) -> list[str]:
    return sorted(path.name for path in place.iterdir() if path.name.startswith("."))


if __name__ == "__main__":
    main()
