"""Read hostile files through bnexport in a process whose every act is heard, and say what happened.

    python judge.py FOLDER MOST         (a line of JSON for each file)
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import time
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

__all__ = ["main"]

LIMIT = 10  # seconds
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
        elif event in HEARD:
            self.heard.append(f"{event} {str(args)[:100]}")

    def harmless(self, args: tuple[Any, ...]) -> bool:
        """The file itself, or what lies beside it, opened for reading."""
        path, mode, flags = args
        reads = mode in ("r", "rb") if mode else not flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
        if isinstance(path, int) or (isinstance(path, str) and "/" not in path):
            return reads  # by a descriptor: external data, a folder at a time
        return reads and Path(os.fsdecode(path)).parent == Path(self.file).parent

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
    outcome, trace = "read", ""
    try:
        with ears.listening(path):
            load(path, **options)
    except BnexportError as error:
        outcome = type(error).__name__
    except TooLongError:
        outcome = "hang"
    except BaseException:
        outcome, trace = "traceback", traceback.format_exc()[-2000:]
    finally:
        signal.alarm(0)
    seconds = time.perf_counter() - start
    return {"outcome": outcome, "trace": trace, "events": ears.heard, "seconds": seconds}


def main() -> None:
    from hostile import gadgets, graphs, pickles

    folder, most = Path(sys.argv[1]), int(sys.argv[2])
    signal.signal(signal.SIGALRM, stop)
    ears = Ears()
    warm(folder, ears)
    place = folder / "hostile.bin"
    for made, (kind, allow) in ((pickles.every, ("pickle", ())), (gadgets.every, ("gadget", gadgets.ALLOWED))):
        for index, hostile in enumerate(made(folder)):
            if most and index % most:
                continue
            pickles.written(hostile, place)
            # As a whole model, and as the weights for an architecture: two roads.
            for road in ({}, {"arch": "torch.nn:Identity", "allow_partial": True}):
                told = read(place, {"allow": allow, **road}, ears)
                fired = hostile.canary.exists() or hostile.canary.is_symlink()
                tell(kind=kind, name=hostile.name, road=bool(road), fired=fired, **told)
    for graph in graphs.every(folder):
        told = read(graph.path, {}, ears)
        tell(kind=graph.kind, name=graph.name, road=False, fired=graph.canary.exists(), **told)


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
            for road in ({}, {"arch": "torch.nn:Identity", "allow_partial": True}):
                read(path, {"allow": ("hostile.victims",), **road}, ears)
    for good in graphs.good(folder):
        read(good, {}, ears)


if __name__ == "__main__":
    main()
