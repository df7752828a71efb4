"""What a file holds, told without loading it: nothing is imported, called or rebuilt, and weights are not read."""

from __future__ import annotations

from bnexport.contents.contents import Contents, Name, Record, Risk, Stored
from bnexport.contents.reading import contents_of

__all__ = ["Contents", "Name", "Record", "Risk", "Stored", "contents_of"]
