"""What the first bytes of an engine say, without TensorRT. Read on engines of 1.4 to 1.7; it is no promise."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from bnexport.load.sniff import ENGINE_HEADS

__all__ = ["Header", "read_header"]

_LENGTH = 64
_RTX = b"vtrt"
_VERSION = slice(24, 28)


@dataclass(frozen=True)
class Header:
    """What kind of engine a file is.

    Attributes:
        flavour: ``tensorrt`` or ``tensorrt_rtx``.
        version: Of tensorrt_rtx, as the engine has it; empty where that is not known.
    """

    flavour: str
    version: str = ""


def read_header(path: Path) -> Header | None:
    """The header; None where the file is no engine, or ends within it."""
    with path.open("rb") as file:
        head = file.read(_LENGTH)
    if head[:4] not in ENGINE_HEADS or len(head) < _LENGTH:
        return None
    if head[:4] != _RTX:
        return Header("tensorrt")
    return Header("tensorrt_rtx", ".".join(map(str, head[_VERSION])))
