"""Read hostile files through bnexport in a process whose every act is heard, and say what happened.

python judge.py FOLDER MOST         (a line of JSON for each file)
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import sys
import time
import traceback
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

__all__ = ["main"]

LIMIT = int(os.environ.get("HOSTILE_SECONDS", "10"))
# The road of those who give the model's code: only the weights are wanted.
WEIGHTS: dict[str, Any] = {
    "arch": "torch.nn:Linear",
    "arch_args": {"in_features": 2, "out_features": 2},
    "allow_partial": True,
}
# What a file could do if something of it ran. `open` is judged by its path and mode below.
HEARD = (
    *("import", "exec", "compile", "subprocess.Popen", "os.system", "os.exec", "os.fork"),
    *("os.posix_spawn", "os.mkdir", "os.remove", "os.rename", "os.symlink", "os.link", "os.rmdir"),
    *("shutil.copyfile", "shutil.rmtree", "socket.connect", "socket.bind", "ctypes.dlopen"),
    *("sqlite3.connect", "pickle.find_class", "marshal.loads", "code.__new__", "function.__new__"),
)


class Ears:
    """An audit hook; it cannot be taken away again, so it listens only when it is asked to."""

    def __init__(self) -> None:
        self.heard: list[str] = []
        self.file = ""
        self.on = False
        sys.addaudithook(self.hear)

    def hear(self, event: str, args: tuple[Any, ...]) -> None:
        if not self.on:
            return
        if event == "open" and not self.harmless(args):
            self.heard.append(f"open {args[0]!r} {args[1]!r}")
        elif event == "compile" and args[1] == "<unknown>":
            pass  # ast.parse, which makes a tree and no code; what makes code of it is heard as `exec`
        elif event in HEARD:
            self.heard.append(f"{event} {str(args)[:100]}")

    def harmless(self, args: tuple[Any, ...]) -> bool:
        """The file itself, or what lies beside it, opened for reading."""
        path, mode, flags = args
        reads = mode in ("r", "rb") if mode else not flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
        if isinstance(path, int) or (isinstance(path, str) and "/" not in path):
            return reads  # by a descriptor: external data, a folder at a time
        home = Path(self.file).parent
        return reads and home in (Path(os.fsdecode(path)), Path(os.fsdecode(path)).parent)

    @contextlib.contextmanager
    def listening(self, file: Path) -> Iterator[None]:
        self.heard, self.file, self.on = [], str(file), True
        try:
            yield
        finally:
            self.on = False


class TooLongError(BaseException):
    """A file takes more than `LIMIT` seconds."""


def stop(*given: object) -> None:
    raise TooLongError


def read(path: Path, options: dict[str, Any], ears: Ears) -> dict[str, Any]:
    """What becomes of one file."""
    from bnexport.errors import BnexportError
    from bnexport.load import load

    start = time.perf_counter()
    signal.alarm(LIMIT)
    outcome, trace, text = "read", "", ""
    try:
        with ears.listening(path):
            load(path, **options)
    except BnexportError as error:
        outcome, text = type(error).__name__, str(error)
    except TooLongError:
        outcome = "hang"
    except BaseException:
        outcome, trace = "traceback", traceback.format_exc()[-2000:]
    finally:
        signal.alarm(0)
    seconds = time.perf_counter() - start
    told = {"outcome": outcome, "text": text, "trace": trace}
    return told | {"events": ears.heard, "seconds": seconds}


def main() -> None:
    from hostile import gadgets, graphs, pickles

    folder, most = Path(sys.argv[1]), int(sys.argv[2])
    signal.signal(signal.SIGALRM, stop)
    ears = Ears()
    warm(folder, ears)
    place = folder / "hostile.bin"
    for made, (kind, allow) in (
        (pickles.every, ("pickle", ())),
        (gadgets.every, ("gadget", gadgets.ALLOWED)),
    ):
        for index, hostile in enumerate(made(folder)):
            if most and index % most:
                continue
            pickles.written(hostile, place)
            # As a whole model, and as the weights for an architecture: two roads.
            for road in ({}, WEIGHTS):
                told = read(place, {"allow": allow, **road}, ears)
                fired = hostile.canary.exists() or hostile.canary.is_symlink()
                tell(kind=kind, name=hostile.name, road=bool(road), fired=fired, **told)
    # torch itself generates code for a program that it reads: what it does for an honest one is none of the file's.
    usual = {kind_of(event) for event in read(graphs.good(folder)[0], {}, ears)["events"]}
    for graph in graphs.every(folder):
        told = read(graph.path, {}, ears)
        if told["outcome"] == "read" and graph.kind == "pt2":
            told["events"] = [each for each in told["events"] if kind_of(each) not in usual]
        tell(kind=graph.kind, name=graph.name, road=False, fired=graph.canary.exists(), **told)


def kind_of(event: str) -> str:
    """An event without addresses and numbers."""
    return re.sub(r"0x[0-9a-f]+|\d+", "", event)[:60]


def tell(**row: Any) -> None:
    print(json.dumps(row), flush=True)


def warm(folder: Path, ears: Ears) -> None:
    """What bnexport imports on first use is imported before anything is heard."""
    import torch

    from hostile import graphs, victims  # noqa: F401 - the user's own package

    path = folder / "good.pt"
    net = torch.nn.Sequential(torch.nn.Linear(1, 1), torch.nn.BatchNorm1d(1))
    for value in (net, net.state_dict()):
        for zipped in (True, False):
            torch.save(value, path, _use_new_zipfile_serialization=zipped)
            for road in ({}, WEIGHTS):
                read(path, {"allow": ("hostile.victims",), **road}, ears)
    for good in graphs.good(folder):
        read(good, {}, ears)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("net/data.pkl", b"N.")
    # zipfile imports the encoding of DOS for names that are not marked as UTF-8.
    path.write_bytes(path.read_bytes().replace(b"net/data.pkl", b"n\x81t/data.pkl"))
    read(path, {}, ears)


if __name__ == "__main__":
    main()
