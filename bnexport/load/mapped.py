"""Files whose weights are mapped rather than read: the system holds them once, and may let go of them.

The mapping is private: what is written to a weight stays in this process.
"""

from __future__ import annotations

import contextlib
import mmap
import weakref
from typing import BinaryIO

__all__ = ["LEAST", "map_file", "page_out"]

LEAST = 1 << 20  # bytes; what is smaller is read
_LARGE = 1 << 28
_PAGE_OUT = 21  # MADV_PAGEOUT, of Linux 5.4 and later; Python has no name for it

_mappings: weakref.WeakSet[_Mapping] = weakref.WeakSet()


class _Mapping(mmap.mmap):
    """A mapping that can be referred to weakly."""


def map_file(file: BinaryIO) -> _Mapping:
    """The whole of a file, as memory that may be written to and is not written back."""
    mapping = _Mapping(file.fileno(), 0, access=mmap.ACCESS_COPY)
    _mappings.add(mapping)
    return mapping


def page_out() -> None:
    """Let the system take the pages of large files back; they are read again when they are needed.

    Before a runtime loads the same weights from a file of its own. Nothing is lost: pages that were written to stay.
    """
    for mapping in [each for each in _mappings if len(each) >= _LARGE]:
        with contextlib.suppress(OSError, ValueError):
            mapping.madvise(_PAGE_OUT)
