"""A folder of entries by key, whole or not there at all; what was not used for the longest time makes room."""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

__all__ = ["Shelf"]
logger = logging.getLogger(__name__)

_DAY = 24 * 3600


class Shelf:
    """What cannot be read or written here costs that it is made again, and nothing else.

    Args:
        folder: Made when something is put there.
        largest: In bytes: past it, what was not used for the longest time goes.
    """

    def __init__(self, folder: Path, largest: int) -> None:
        self._folder, self._largest = folder, largest

    def find(self, key: str) -> Path | None:
        """The folder of an entry, used now; None where there is none."""
        entry = self._folder / key
        try:
            os.utime(entry)
        except FileNotFoundError:
            return None
        except OSError as error:  # somebody else's: it can be read all the same
            logger.debug("%s is not marked as used: %s", entry, error)
        return entry

    def drop(self, key: str) -> None:
        """Remove an entry that is damaged."""
        shutil.rmtree(self._folder / key, ignore_errors=True)

    def put(self, key: str, fill: Callable[[Path], None]) -> None:
        """Make an entry: ``fill`` writes its files into the folder that it is given."""
        staged = self._folder / f".{key[:16]}.{os.getpid()}.{secrets.token_hex(4)}"
        try:
            staged.mkdir(parents=True, mode=0o700)
            fill(staged)
            staged.rename(self._folder / key)
            self._prune()
        except OSError as error:  # a full disk, or another process that was first
            logger.debug("%s not kept: %s", key, error)
            shutil.rmtree(staged, ignore_errors=True)

    def _prune(self) -> None:
        for left in self._folder.glob(".*"):  # by a process that was killed
            if time.time() - _used(left) > _DAY:
                shutil.rmtree(left, ignore_errors=True)
        total = 0
        for entry in sorted(self._entries(), key=_used, reverse=True):
            total += sum(file.stat().st_size for file in entry.iterdir())
            if total > self._largest:
                shutil.rmtree(entry, ignore_errors=True)

    def _entries(self) -> Iterator[Path]:
        return (each for each in self._folder.iterdir() if each.is_dir() and each.name[0] != ".")


def _used(entry: Path) -> float:
    with contextlib.suppress(OSError):  # another process removed it
        return entry.stat().st_mtime
    return 0.0
