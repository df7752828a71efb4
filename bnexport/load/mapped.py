"""Files whose weights are mapped rather than read: the system holds them once, and may let go of them.

The mapping is private: what is written to a weight stays in this process.
"""

from __future__ import annotations

import contextlib
import mmap
import weakref
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO

import numpy as np

__all__ = ["LEAST", "map_file", "page_out"]

LEAST = 1 << 20  # bytes; what is smaller is read
_LARGE = 1 << 28
_PAGE_OUT = 21  # MADV_PAGEOUT, of Linux 5.4 and later; Python has no name for it
_SMAPS = Path("/proc/self/smaps")

_mappings: weakref.WeakSet[_Mapping] = weakref.WeakSet()


class _Mapping(mmap.mmap):
    """A mapping that can be referred to weakly."""


def map_file(file: BinaryIO) -> _Mapping:
    """The whole of a file, as memory that may be written to and is not written back."""
    mapping = _Mapping(file.fileno(), 0, access=mmap.ACCESS_COPY)
    _mappings.add(mapping)
    return mapping


def page_out() -> None:
    """Let the system take the pages back; they are read from the file again when they are needed.

    Before a runtime loads the same weights from a file of its own. Nothing is lost: where a page was written to, only
    those of a large file are asked for, and the system keeps what it cannot read again.
    """
    mappings = list(_mappings)
    if not mappings:
        return
    written = _written(mappings)
    for mapping in mappings:
        with contextlib.suppress(OSError, ValueError):
            if mapping not in written:
                mapping.madvise(mmap.MADV_DONTNEED)  # the pages stay in the system's cache of files
            elif len(mapping) >= _LARGE:
                mapping.madvise(_PAGE_OUT)


def _written(mappings: Iterable[_Mapping]) -> set[_Mapping]:
    """Those with a page that is no longer the file's; all where the system does not tell."""
    places = {int(np.frombuffer(each, np.uint8).ctypes.data): each for each in mappings}
    written = set(places.values())
    try:
        lines = _SMAPS.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return written
    here: _Mapping | None = None
    for line in lines:
        first, _, rest = line.partition(" ")
        if not first.endswith(":"):  # 7f00-7f01 rw-p 00000000 fe:00 123  /net.pt
            here = places.get(int(first.partition("-")[0], 16))
        elif here is not None and first == "Anonymous:" and rest.split() == ["0", "kB"]:
            written.discard(here)
    return written
