"""Open a torch.save file, of either form, as one root record and the tensors behind it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bnexport.load.archive import Archive
from bnexport.load.errors import Corrupt, Unsupported
from bnexport.load.limits import Limits
from bnexport.load.records import parse
from bnexport.load.stream import read_stream
from bnexport.load.tensors import Tensors

__all__ = ["Pickled", "from_archive", "open_legacy"]


@dataclass(frozen=True)
class Pickled:
    """A torch.save file, read but not brought to life.

    Attributes:
        path: The file's name.
        root: The record of the saved object.
        tensors: Gives the tensors of tensor records.
        names: Every name in the pickle.
    """

    path: str
    root: Any
    tensors: Tensors
    names: frozenset[str]


def from_archive(archive: Archive, limits: Limits) -> Pickled:
    """The object in an archive that is open.

    Raises:
        Unsupported: The archive is big-endian.
        Corrupt: The archive or the pickle in it is damaged.
    """
    if "byteorder" in archive and archive.read("byteorder", 64).strip() != b"little":
        raise Unsupported(archive.path, "a big-endian file")
    data = archive.read("data.pkl", limits.pickle_bytes, "pickle_bytes")
    named: set[str] = set()
    root, _ = parse(data, archive.path, limits, named)

    def read(key: str, size: int) -> bytearray | memoryview:
        if not (0 < len(key) < 32 and key.isascii() and key.isalnum()):
            raise Corrupt(archive.path, f"malformed storage key {key[:40]!r}")
        return archive.weights(f"data/{key}", size)

    return Pickled(archive.path, root, Tensors(archive.path, read, limits), frozenset(named))


def open_legacy(path: Path, limits: Limits) -> Pickled:
    """Open the stream that torch wrote before 1.6."""
    named: set[str] = set()
    root, read = read_stream(path, limits, named)
    return Pickled(str(path), root, Tensors(str(path), read, limits), frozenset(named))
