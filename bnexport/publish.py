"""Publish: files are staged beside their destination and move into place together or not at all."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import secrets
import shutil
import stat
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self, cast

from bnexport.disk import (
    contains,
    file_sha256,
    fsync,
    is_disk_failure,
    locked,
    output_errors,
    try_lock,
)
from bnexport.errors import OutputError, UsageError

__all__ = ["Staging", "check_destination", "file_sha256", "publish_bytes", "put_in_order"]

_LEFTOVER = re.compile(
    r"\..*\.(?P<mark>[0-9a-f]{8})\.bnexport-(?P<process>\d+)-[0-9a-f]{8}", re.DOTALL
)
_DATA = re.compile(r".+\.[0-9a-f]{16}\.data", re.DOTALL)
_RECORD = ".commit"
_TICK = 0.05
_PATIENCE = 30.0  # one small file takes no longer


class Staging:
    """A hidden folder beside ``destination``, and the one way out of it.

    `commit` moves files in this order: data files named by their hash, then the others, then the
    main file, whose ``os.replace`` is the one commit point. Before the first move, every file that
    will be replaced is kept as a hard link in the staging folder. So whatever stops the process
    before the commit point (an exception, Ctrl-C, ``kill -9``, a power cut) can be undone from what
    is on the disk: while the main file is still staged, the kept files go back. After an exception
    that happens at once; after a kill, in the next run that stages into the same folder. Between a
    kill amid the moves and that run, the older main file is whole but a sidecar may be the new one,
    which the hash in the sidecar tells.

    The staging folder is locked while its process lives, so a leftover is known by its lock being
    free: process ids that are used again and containers that share a disk do not confuse it. On a
    file system without ``flock`` for folders, leftovers stay.

    The same lock keeps two processes from one destination: the second is told of the first.

    Args:
        destination: Where the main file will be published.
        patience: Seconds to wait for another process that writes there.

    Attributes:
        destination: As given.
        folder: Where to stage, inside the ``with`` block.

    Raises:
        OutputError: The folder does not exist or cannot be written, the destination is no file, or another process
            writes there (on entering).
    """

    def __init__(self, destination: Path, *, patience: float = 0) -> None:
        self.destination = Path(destination)
        self._patience = patience
        self._parent = _writable_parent(self.destination)
        self._lock: int | None = None
        self.folder = self._parent

    def __enter__(self) -> Self:
        end = time.monotonic() + self._patience
        while other := self._enter():
            if time.monotonic() > end:
                what = f"{self.destination} is being written by another bnexport"
                raise OutputError(what, f"process {other}", "Wait for it, or name another file")
            time.sleep(_TICK)
        return self

    def _enter(self) -> str:
        """Make the folder; or the process that is at this destination already."""
        mark = hashlib.sha256(os.fsencode(self.destination.name)).hexdigest()[:8]
        name = (
            f".{self.destination.name[:100]}.{mark}.bnexport-{os.getpid()}-{secrets.token_hex(4)}"
        )
        with output_errors(self.destination), locked(self._parent):
            _sweep(self._parent)
            folder = self._parent / name
            folder.mkdir(mode=0o700)
            lock = try_lock(folder)
            # Where there are no locks nobody can tell the living from the dead.
            other = "" if lock is None else _at_work(self._parent, mark, but=name)
            if other:
                folder.rmdir()
                os.close(cast("int", lock))
                return other
            self._lock, self.folder = lock, folder
        return ""

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        vanished = not self.folder.exists()
        # What cannot be put in order now, the next run will: a commit that stands is no failure for that.
        with contextlib.suppress(OSError), locked(self._parent):
            _settle(self.folder)
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None
        if vanished and isinstance(error, OSError):
            why = "its folder was removed meanwhile"
            raise OutputError(f"cannot write {self.destination}", why) from error
        if isinstance(error, OutputError) and str(self.folder) in error.what:
            what = error.what.replace(str(self.folder), str(self.destination.parent))
            raise OutputError(what, error.why, error.remedy) from error
        if error is not None and is_disk_failure(error):
            with output_errors(self.destination):
                raise error

    def require_space(self, needed: int) -> None:
        """Check the room on the destination's file system before work is spent.

        Raises:
            OutputError: Fewer than ``needed`` bytes are free.
        """
        with output_errors(self.destination):
            free = shutil.disk_usage(self._parent).free
        if free < needed:
            why = f"{needed / 2**20:.0f} MiB are needed and {free / 2**20:.0f} MiB are free"
            raise OutputError(f"no room in {self._parent}", why, "Free some, or write elsewhere")

    def commit(self, main: str, others: Sequence[str] = ()) -> tuple[Path, ...]:
        """Publish staged files, once; data files that only a replaced file named are removed.

        Args:
            main: The name of the file whose arrival makes the rest valid.
            others: The names of data files, sidecars, reports and further artifacts.

        Returns:
            The published paths, the main one first, then ``others`` in their order.

        Raises:
            OutputError: Something could not be written; what was there before is there again.
        """
        order = [*sorted(others, key=lambda name: not _DATA.fullmatch(name)), main]
        with output_errors(self.destination), locked(self._parent):
            _sweep(
                self._parent
            )  # what a killed process left amid its moves must not be undone later
            try:
                _keep_previous(self.folder, order)
                _move(self.folder, order)
            except BaseException:
                _undo(self.folder)
                raise
        return tuple(self.destination.parent / name for name in (main, *others))


def put_in_order(folder: Path) -> None:
    """Finish or undo what processes that were killed left in a folder; where that cannot be done, nothing happens."""
    with contextlib.suppress(OSError), locked(folder):
        _sweep(folder)


def check_destination(path: Path, taken: Iterable[Path]) -> None:
    """See, before any work, that a file can be written, and that it is none of ``taken``.

    Raises:
        UsageError: It is one of the files that this run reads or writes.
        OutputError: The folder does not exist or cannot be written, or the path is no file.
    """
    Staging(path)  # looks at the folder; nothing is made before it is entered
    for other in taken:
        if path.resolve() == other.resolve():
            why = "the same file is given twice in this command"
            raise UsageError(f"cannot write {path}", why, "Name another file")


def publish_bytes(path: Path, content: bytes) -> None:
    """Write one file, whole or not at all.

    Raises:
        OutputError: It cannot be written; what was there before is there again.
    """
    with Staging(path, patience=_PATIENCE) as staging:
        (staging.folder / path.name).write_bytes(content)
        staging.commit(path.name)


def _writable_parent(destination: Path) -> Path:
    with output_errors(destination):
        if destination.is_dir():
            raise OutputError(f"{destination} is a folder", "", "Name a file in it")
        if destination.exists() and not destination.is_file():
            raise OutputError(f"{destination} is not a regular file", "it cannot be replaced")
        parent = destination.parent
        what = f"cannot write {destination}"
        if not parent.exists():
            raise OutputError(what, f"folder {parent} does not exist", f"Type `mkdir -p {parent}`")
        if not parent.is_dir():
            raise OutputError(what, f"{parent} is not a folder")
        if not os.access(parent, os.W_OK | os.X_OK):
            raise OutputError(what, f"no permission to write in {parent}")
        return parent.resolve()


def _keep_previous(folder: Path, names: Sequence[str]) -> None:
    """Make the staged files durable, and a way back: what will be replaced, and the moves."""
    for name in names:
        if os.path.basename(name) != name:
            raise OutputError(f"{name!r} is not a plain file name")
        fsync(folder / name)
    record = folder / _RECORD
    record.mkdir()
    moves = []
    for index, name in enumerate(names):
        replaces = os.path.lexists(folder.parent / name)
        if replaces:
            _keep(folder.parent / name, record / f"{index}.old")
        moves.append([name, replaces])
    draft = record / "draft"
    draft.write_text(json.dumps(moves), encoding="utf-8")
    for path in (draft, record, folder):
        fsync(path)
    os.replace(draft, record / "moves")
    fsync(record)


def _keep(path: Path, kept: Path) -> None:
    try:
        os.link(path, kept, follow_symlinks=False)
    except OSError:  # a file system without hard links
        shutil.copy2(path, kept, follow_symlinks=False)
        if not kept.is_symlink():
            fsync(kept)


def _move(folder: Path, names: Sequence[str]) -> None:
    *others, main = names
    for name in others:
        os.replace(folder / name, folder.parent / name)
    fsync(folder.parent)
    os.replace(folder / main, folder.parent / main)
    fsync(folder.parent)


def _undo(folder: Path) -> None:
    """Put back what was replaced, unless the main file has moved: then the commit stands.

    May be stopped at any point and begun again.
    """
    note = folder / _RECORD / "moves"
    if not note.exists():
        return
    moves = json.loads(note.read_text(encoding="utf-8"))
    if not (folder / moves[-1][0]).exists():
        with contextlib.suppress(PermissionError):  # somebody else's; a file too many does no harm
            _remove_stale_data(folder / _RECORD, {name for name, _ in moves})
    else:
        for index, (name, replaced) in enumerate(moves):
            kept, published = folder / _RECORD / f"{index}.old", folder.parent / name
            if replaced and os.path.lexists(kept):
                os.replace(kept, published)
            elif not replaced and not (folder / name).exists():
                published.unlink(missing_ok=True)
        fsync(folder.parent)
    note.unlink()


def _is_committed(folder: Path) -> bool:
    """Whether its main file has moved: all that is left to do is to tidy up."""
    note = folder / _RECORD / "moves"
    if not note.exists():
        return True
    moves = json.loads(note.read_text(encoding="utf-8"))
    return not (folder / moves[-1][0]).exists()


def _settle(folder: Path) -> None:
    """Undo a commit that did not come to its point, then remove the staging folder."""
    _undo(folder)
    shutil.rmtree(folder, ignore_errors=True)


def _sweep(parent: Path) -> None:
    """Settle our own staging folders whose process is gone."""
    for folder in list(parent.iterdir()):
        lock = try_lock(folder) if _is_ours(folder) else None
        if lock is not None:
            try:
                _settle(folder)
            except OSError:
                # Moves that cannot be undone now must not be undone later, over newer files.
                if not _is_committed(folder):
                    raise
            finally:
                os.close(lock)


def _at_work(parent: Path, mark: str, but: str) -> str:
    """The process whose staging folder has this mark; empty: none. What is dead has been swept."""
    for folder in parent.iterdir():
        found = _LEFTOVER.fullmatch(folder.name)
        if found and found["mark"] == mark and folder.name != but and _is_ours(folder):
            return found["process"]
    return ""


def _is_ours(folder: Path) -> bool:
    """A staging folder of this user's: where all may write, a stranger's is not obeyed."""
    if not _LEFTOVER.fullmatch(folder.name):
        return False
    status = folder.lstat()
    return stat.S_ISDIR(status.st_mode) and status.st_uid == os.geteuid()


def _remove_stale_data(record: Path, published: set[str]) -> None:
    """Remove data files that a replaced file named and that no ONNX file beside them names now."""
    parent = record.parent.parent
    candidates = [p for p in parent.iterdir() if _DATA.fullmatch(p.name)]
    candidates = [path for path in candidates if path.name not in published]
    if not candidates:
        return
    replaced = list(record.glob("*.old"))
    present = [path for path in parent.iterdir() if ".onnx" in path.suffixes[-2:]]
    for path in candidates:
        if _named_in(path.name, replaced) and not _named_in(path.name, present):
            path.unlink()


def _named_in(name: str, files: Iterable[Path]) -> bool:
    return any(contains(path, os.fsencode(name)) for path in files)
