"""The stream that torch before 1.6 wrote: five pickles, then the storages' bytes one after another."""

from __future__ import annotations

import mmap
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bnexport.load.errors import Corrupt, Unsupported
from bnexport.load.limits import Limits
from bnexport.load.records import StorageRef, children, parse
from bnexport.load.tensors import STORAGES

__all__ = ["read_stream"]

_MAGIC = 0x1950A86A20F9469CFC6C
_AGAIN = "Save or download the file again"


def read_stream(
    path: Path, limits: Limits, named: set[str] | None = None
) -> tuple[Any, Callable[[str, int], bytearray]]:
    """The root record, and a reader of storages.

    Raises:
        Unsupported: A pickle that torch.save did not write.
        Corrupt: The stream is truncated or malformed.
    """
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        parts, position = _pickles(data, str(path), limits, named)
        places = _places(data, position, parts[3], parts[4], str(path))

    def read(key: str, size: int) -> bytearray:
        if key not in places:
            raise Corrupt(str(path), f"storage {key!r} is missing", _AGAIN)
        start, length = places[key]
        buffer = bytearray(length)
        with path.open("rb") as file:
            file.seek(start)
            if file.readinto(buffer) != length:
                raise Corrupt(str(path), "the file is truncated", _AGAIN)
        return buffer

    return parts[3], read


def _pickles(
    data: mmap.mmap, path: str, limits: Limits, named: set[str] | None
) -> tuple[list[Any], int]:
    parts: list[Any] = []
    position = 0
    for _ in range(5):
        chunk = data[position : position + limits.pickle_bytes]
        record, length = parse(chunk, path, limits, named)
        if not parts and record != _MAGIC:
            why = "a bare pickle, not a file that torch.save wrote"
            raise Unsupported(path, why, "Save it with torch.save")
        parts.append(record)
        position += length
    return parts, position


def _places(
    data: mmap.mmap, position: int, root: Any, keys: Any, path: str
) -> dict[str, tuple[int, int]]:
    """Where each storage's bytes lie; the size of an element is found only in the references to it."""
    kinds = _kinds(root)
    known = isinstance(keys, list) and all(isinstance(key, str) and key in kinds for key in keys)
    if not known or len(set(keys)) != len(keys):
        raise Corrupt(path, "malformed list of storages", _AGAIN)
    places: dict[str, tuple[int, int]] = {}
    for key in keys:
        if kinds[key] not in STORAGES:
            raise Unsupported(path, f"a storage of class {kinds[key]}")
        if position + 8 > len(data):
            raise Corrupt(path, "the file is truncated within its weights", _AGAIN)
        (numel,) = struct.unpack_from("<q", data, position)
        position += 8
        size = numel * STORAGES[kinds[key]].itemsize
        if numel < 0 or position + size > len(data):
            raise Corrupt(path, "the file is truncated within its weights", _AGAIN)
        places[key] = (position, size)
        position += size
    return places


def _kinds(root: Any) -> dict[str, str]:
    kinds: dict[str, str] = {}
    seen: set[int] = set()
    waiting = [root]
    while waiting:
        record = waiting.pop()
        if isinstance(record, StorageRef):
            kinds[record.key] = record.kind
        elif id(record) not in seen and isinstance(record, object):
            inside = list(children(record))
            if inside:
                seen.add(id(record))
                waiting.extend(inside)
    return kinds
