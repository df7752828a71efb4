"""Files whose weights are mapped rather than read: the system holds them once, and may let go of them.

The mapping is private: what is written to a weight stays in this process.
"""

from __future__ import annotations

import contextlib
import mmap
import weakref
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import BinaryIO

import numpy as np

__all__ = ["LEAST", "map_file", "mapping", "may_map", "page_out"]

LEAST = 1 << 14  # bytes of a record; what is smaller is read
_SMALL = 4 << 20  # bytes of a file
_MAPS: ContextVar[bool] = ContextVar("bnexport_maps", default=False)
_SMAPS = Path("/proc/self/smaps")

_mappings: weakref.WeakSet[_Mapping] = weakref.WeakSet()


class _Mapping(mmap.mmap):
    """A mapping that can be referred to weakly."""


@contextmanager
def mapping() -> Iterator[None]:
    """Inside the block large files may be mapped.

    For a call that gives no tensor away: whoever saves a model over the file that its weights are mapped from would
    destroy both.
    """
    token = _MAPS.set(True)
    try:
        yield
    finally:
        _MAPS.reset(token)


def may_map(size: int) -> bool:
    """Whether a file of so many bytes is to be mapped."""
    return _MAPS.get() and size >= _SMALL


def map_file(file: BinaryIO) -> _Mapping:
    """The whole of a file, as memory that may be written to and is not written back."""
    mapping = _Mapping(file.fileno(), 0, access=mmap.ACCESS_COPY)
    _mappings.add(mapping)
    return mapping


def page_out() -> None:
    """Let the system take the pages back; they are read from the file again when they are needed.

    Before a runtime loads the same weights from a file of its own. A mapping in which anything was written to is left
    as it is.
    """
    mappings = list(_mappings)
    written = _written(mappings) if mappings else set()
    for mapping in mappings:
        with contextlib.suppress(OSError, ValueError):
            if mapping not in written:
                mapping.madvise(mmap.MADV_DONTNEED)  # the pages stay in the system's cache of files


def _written(mappings: Iterable[_Mapping]) -> set[_Mapping]:
    """Those with a page that is no longer the file's, in memory or swapped out; all where the system does not tell."""
    ends = {each: _extent(each) for each in mappings}
    covered = dict.fromkeys(ends, 0)
    written: set[_Mapping] = set()
    try:
        lines = _SMAPS.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return set(ends)
    here: _Mapping | None = None
    for line in lines:
        first, _, rest = line.partition(" ")
        if not first.endswith(":"):  # 7f00-7f01 rw-p 00000000 fe:00 123  /net.pt
            start, end = (int(word, 16) for word in first.split("-"))
            here = next((m for m, (low, high) in ends.items() if low <= start < high), None)
            if here is not None:
                covered[here] += min(end, ends[here][1]) - start
        elif here is not None and first in ("Anonymous:", "Swap:") and rest.split() != ["0", "kB"]:
            written.add(here)
    return written | {each for each, (low, high) in ends.items() if covered[each] < high - low}


def _extent(mapping: _Mapping) -> tuple[int, int]:
    place = int(np.frombuffer(mapping, np.uint8).ctypes.data)
    return place, place + len(mapping)
