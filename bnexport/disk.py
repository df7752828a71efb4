"""What publishing needs of the file system: locks, durability, hashes, errors fit to show."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import mmap
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bnexport.errors import OutputError

__all__ = [
    "contains",
    "file_sha256",
    "fsync",
    "is_disk_failure",
    "locked",
    "output_errors",
    "try_lock",
]

_NO_LOCKS = {errno.EBADF, errno.ENOLCK, errno.ENOSYS, errno.EINVAL, errno.EOPNOTSUPP}
_DISK_FAILURES = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.EFBIG}


def file_sha256(path: Path) -> str:
    """The hash of a file's bytes, read in pieces."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def contains(path: Path, word: bytes) -> bool:
    """Whether a regular file holds ``word``, found without reading the file into memory."""
    if not path.is_file() or not path.stat().st_size:
        return False
    with (
        path.open("rb") as stream,
        mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as content,
    ):
        return content.find(word) >= 0


def is_disk_failure(error: BaseException | None) -> bool:
    """Whether the disk, not the program, is at fault: full, over quota, read-only, broken."""
    return isinstance(error, OSError) and error.errno in _DISK_FAILURES


@contextmanager
def output_errors(path: Path) -> Iterator[None]:
    """Turn the operating system's refusals into `OutputError`, naming ``path``."""
    try:
        yield
    except OSError as error:
        remedy = "Free some space, or write elsewhere" if error.errno == errno.ENOSPC else ""
        raise OutputError(f"cannot write {path}", error.strerror or str(error), remedy) from error


def fsync(path: Path) -> None:
    """Bring a file's bytes, or a folder's entries, to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def try_lock(folder: Path) -> int | None:
    """A descriptor that holds the folder's lock until it is closed or the process ends.

    None where another holds it, the folder is gone, or the file system has no locks.
    """
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        return None
    return descriptor


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the folder's lock; go on without one where the file system has none."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                raise
        yield
    finally:
        os.close(descriptor)
