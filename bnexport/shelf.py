"""A folder of entries by key, whole or not there at all; what was not used for the longest time makes room."""

from __future__ import annotations

import contextlib
import logging
import os
import re
import secrets
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

__all__ = ["Shelf"]
logger = logging.getLogger(__name__)

_DAY = 24 * 3600
# What is ours in a folder that the user named: nothing else in it is counted or removed.
_ENTRY = re.compile(r"[0-9a-f]{64}")
_STAGED = re.compile(r"\.[0-9a-f]{16}\.\d+\.[0-9a-f]{8}\.staged")


class Shelf:
    """What cannot be read or written here costs that it is made again, and nothing else.

    A key is a sha256 in hexadecimal.

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
        name = f".{key[:16]}.{os.getpid()}.{secrets.token_hex(4)}.staged"
        staged = self._folder / name
        try:
            staged.mkdir(parents=True, mode=0o700)
            fill(staged)
            staged.rename(self._folder / key)
            self._prune()
        except OSError as error:  # a full disk, or another process that was first
            logger.debug("%s not kept: %s", key, error)
            shutil.rmtree(staged, ignore_errors=True)

    def _prune(self) -> None:
        for left in self._ours(_STAGED):  # by a process that was killed
            if time.time() - _used(left) > _DAY:
                shutil.rmtree(left, ignore_errors=True)
        total = 0
        for entry in sorted(self._ours(_ENTRY), key=_used, reverse=True):
            total += sum(file.stat().st_size for file in entry.iterdir())
            if total > self._largest:
                shutil.rmtree(entry, ignore_errors=True)

    def _ours(self, names: re.Pattern[str]) -> Iterator[Path]:
        for each in list(self._folder.iterdir()):
            if names.fullmatch(each.name) and each.is_dir() and not each.is_symlink():
                yield each


def _used(entry: Path) -> float:
    with contextlib.suppress(OSError):  # another process removed it
        return entry.stat().st_mtime
    return 0.0
