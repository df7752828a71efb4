"""What a file is, told by its first bytes; its suffix is never looked at."""

from __future__ import annotations

import enum
import errno
import hashlib
import os
import stat
from pathlib import Path

from bnexport.errors import Refused
from bnexport.load.errors import Corrupt, Unsupported

__all__ = ["ENGINE_HEADS", "Kind", "check_file", "digest", "sniff"]

# TensorRT's plans begin with ptrt or ftrt, TensorRT-RTX's with vtrt.
ENGINE_HEADS = (b"ptrt", b"ftrt", b"vtrt")

_HEAD = 512
_PICKLE_HEADS = tuple(bytes((0x80, protocol)) for protocol in (2, 3, 4, 5))
_FOREIGN: tuple[tuple[int, bytes, str], ...] = (
    (0, b"\x89PNG", "a PNG image"),
    (0, b"\xff\xd8\xff", "a JPEG image"),
    (0, b"GIF8", "a GIF image"),
    (8, b"WEBP", "a WebP image"),
    (0, b"BM", "a bitmap image"),
    (0, b"%PDF", "a PDF document"),
    (0, b"\x1f\x8b", "a gzip archive; unpack it first"),
    (0, b"BZh", "a bzip2 archive; unpack it first"),
    (0, b"\xfd7zXZ", "an xz archive; unpack it first"),
    (0, b"7z\xbc\xaf", "a 7-Zip archive; unpack it first"),
    (0, b"\x89HDF", "an HDF5 file, as Keras writes it"),
    (0, b"\x93NUMPY", "a NumPy array"),
    (0, b"GGUF", "a GGUF file"),
    (4, b"TFL3", "a TensorFlow Lite model"),
    *((0, head, "a TensorRT engine") for head in ENGINE_HEADS),
    (0, b"\x7fELF", "a native program or library"),
    (257, b"ustar", "a tar archive, as torch before 0.1.10 wrote it"),
)


class Kind(enum.Enum):
    """The containers that bnexport opens."""

    ZIP = "zip archive"
    LEGACY = "pickle stream"
    SAFETENSORS = "safetensors"
    UNKNOWN = "unknown"


def check_file(source: str | os.PathLike[str]) -> Path:
    """The path, when a regular file with something in it stands there.

    Raises:
        Refused: There is no such file, or it is a directory, a device, empty or not readable.
    """
    path = Path(source)
    try:
        status = path.stat()
        with_read = os.access(path, os.R_OK)
    except (OSError, ValueError) as error:
        code = getattr(error, "errno", None)
        why = "no such file" if code in (errno.ENOENT, errno.ENOTDIR) else str(error)
        raise Refused(str(path), why, "Check the path") from None
    if stat.S_ISDIR(status.st_mode):
        raise Refused(str(path), "a directory, not a model file", "Name the file inside it")
    if not stat.S_ISREG(status.st_mode):
        raise Refused(str(path), "not a regular file")
    if not with_read:
        raise Refused(str(path), "you have no permission to read it")
    if status.st_size == 0:
        raise Corrupt(str(path), "the file is empty", "Save or download the model again")
    return path


def sniff(path: Path) -> Kind:
    """The container, by content.

    Raises:
        Unsupported: The content is recognised as something that is not a model.
    """
    with path.open("rb") as file:
        head = file.read(_HEAD)
    if head.startswith(b"PK\x03\x04"):
        return Kind.ZIP
    if head.startswith(_PICKLE_HEADS):
        return Kind.LEGACY
    if head[8:9] == b"{" and 0 < int.from_bytes(head[:8], "little") < 100 << 20:
        return Kind.SAFETENSORS
    foreign = _foreign(head)
    if foreign:
        raise Unsupported(str(path), f"this is {foreign}", _ACCEPTED)
    return Kind.UNKNOWN


def digest(path: Path) -> str:
    """The sha256 of the file's bytes, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


_ACCEPTED = (
    "bnexport reads torch.save files, .safetensors, torch.export archives, TorchScript and ONNX"
)


def _foreign(head: bytes) -> str:
    for offset, magic, name in _FOREIGN:
        if head[offset:].startswith(magic):
            return name
    if head.startswith(b"version https://git-lfs"):
        return "a Git LFS pointer, not the file itself; run `git lfs pull`"
    if head.lstrip()[:15].lower().startswith((b"<!doctype", b"<html", b"<?xml")):
        return "a web page, probably a failed download"
    return "a text file" if _is_text(head) else ""


def _is_text(head: bytes) -> bool:
    """Whether the bytes are UTF-8 without control characters (a cut character at the end is fine)."""
    try:
        text = head.decode()
    except UnicodeDecodeError as error:
        if len(head) < _HEAD or error.start < len(head) - 4:
            return False
        text = head[: error.start].decode()
    return all(character.isprintable() or character in "\t\r\n\f" for character in text)
