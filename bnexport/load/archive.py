"""The zip archives that torch writes: opened with every size checked, read once, CRCs compared."""

from __future__ import annotations

import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, TypeVar

from bnexport.load.errors import Corrupt, TooLarge, Unsupported
from bnexport.load.limits import Limits
from bnexport.load.mapped import LEAST, map_file, may_map

__all__ = ["Archive", "open_archive"]

_LOCAL_HEADER = struct.Struct("<4s5H3I2H")
_Bytes = TypeVar("_Bytes", bytearray, memoryview, bytearray | memoryview)
_SMALL = ("version", ".data/version", "byteorder", ".data/serialization_id", "archive_format")
_DAMAGED = (
    zipfile.BadZipFile,
    struct.error,
    OSError,
    ValueError,
    NotImplementedError,
    IndexError,
    OverflowError,
    EOFError,
)


class Archive:
    """One archive whose records are stored uncompressed under a single folder."""

    def __init__(self, path: str, file: BinaryIO, size: int, limits: Limits) -> None:
        self.path, self._file, self._size, self._limits = path, file, size, limits
        infos = self._directory()
        tops = {info.filename.split("/", 1)[0] for info in infos}
        if len(tops) != 1 or not all("/" in info.filename for info in infos):
            raise Unsupported(path, "a zip archive, but not one that torch wrote")
        self.folder = tops.pop()
        self._records = {info.filename.split("/", 1)[1]: info for info in infos}
        self._check_layout(infos)
        self._mapping: memoryview | None = None
        self._checked = not self._written_without_crc()

    def __contains__(self, name: str) -> bool:
        return name in self._records

    def names(self) -> tuple[str, ...]:
        """The records, without the folder."""
        return tuple(self._records)

    def size(self, name: str) -> int:
        """The size of a record, in bytes."""
        return self._info(name).file_size

    def read(self, name: str, limit: int, bound: str = "") -> bytearray:
        """A record's bytes.

        Args:
            name: Of the record.
            limit: The most bytes that it may hold.
            bound: The field of `Limits` that this is, for the message.

        Raises:
            Corrupt: It is missing, cut short, or its CRC differs.
            TooLarge: It holds more than ``limit`` bytes.
        """
        info = self._limited(name, limit, bound)
        return self._whole(info, self._bytes(info))

    def weights(self, name: str, limit: int) -> bytearray | memoryview:
        """As `read`; where that is allowed, the bytes of a large record lie in a private mapping of the file."""
        info = self._limited(name, limit, "")
        mapped = may_map(self._size) and info.file_size >= LEAST
        data = self._mapped(info) if mapped else self._bytes(info)
        return self._whole(info, data)

    def _limited(self, name: str, limit: int, bound: str) -> zipfile.ZipInfo:
        info = self._info(name)
        if info.file_size > limit:
            raise TooLarge(self.path, f"record {name!r} holds {info.file_size} bytes", bound)
        return info

    def _whole(self, info: zipfile.ZipInfo, data: _Bytes) -> _Bytes:
        if self._checked and zlib.crc32(data) != info.CRC:
            raise Corrupt(
                self.path,
                f"record {self._short(info)!r} is damaged: its CRC differs",
                "Save or download the file again",
            )
        return data

    @staticmethod
    def _short(info: zipfile.ZipInfo) -> str:
        return info.filename.split("/", 1)[1]

    def extent(self, name: str) -> tuple[int, int]:
        """Where a record's bytes begin in the file, and how many they are.

        Raises:
            Corrupt: It is missing or damaged.
        """
        info = self._info(name)
        return self._start(info), info.file_size

    def check_unpacked(self) -> None:
        """Hold the records to the limits as they are when they are unpacked, which torch does for TorchScript.

        Raises:
            TooLarge: One grows too much, or all are too large together.
        """
        for info in self._records.values():
            if info.file_size > self._limits.ratio * max(info.compress_size, 1):
                times = info.file_size // max(info.compress_size, 1)
                why = f"record {info.filename!r} unpacks to {times} times its size"
                raise TooLarge(self.path, why, "ratio")
        if sum(info.file_size for info in self._records.values()) > self._limits.total_bytes:
            raise TooLarge(self.path, "its records are too large together", "total_bytes")

    @property
    def has_crcs(self) -> bool:
        """Whether the records' CRCs are those of their bytes; they may be left out when writing."""
        return self._checked

    def _directory(self) -> list[zipfile.ZipInfo]:
        try:
            with zipfile.ZipFile(self._file) as archive:
                infos = archive.infolist()
        except _DAMAGED:
            raise Corrupt(
                self.path,
                "a truncated or damaged archive",
                "Save or download the file again",
            ) from None
        if len(infos) > self._limits.records:
            raise TooLarge(self.path, f"the archive holds {len(infos)} records", "records")
        if not infos:
            raise Corrupt(self.path, "an empty archive")
        if len({info.filename for info in infos}) != len(infos):
            raise Corrupt(self.path, "two records of one name")
        return infos

    def _check_layout(self, infos: list[zipfile.ZipInfo]) -> None:
        end = 0
        for info in sorted(infos, key=lambda info: info.header_offset):
            if info.flag_bits & 1:
                raise Unsupported(self.path, "the archive is encrypted")
            if info.header_offset < end:
                raise Corrupt(self.path, "records overlap")
            end = info.header_offset + _LOCAL_HEADER.size + info.compress_size
        if end > self._size:
            raise Corrupt(self.path, "records run past the end of the file: it is truncated")

    def _info(self, name: str) -> zipfile.ZipInfo:
        if name not in self._records:
            raise Corrupt(self.path, f"record {name!r} is missing")
        return self._records[name]

    def _bytes(self, info: zipfile.ZipInfo) -> bytearray:
        """Read straight into one buffer: zipfile would copy, and cannot leave the CRC unchecked."""
        self._file.seek(self._stored(info))
        data = bytearray(info.file_size)
        if self._file.readinto(data) != len(data):  # type: ignore[attr-defined]
            raise Corrupt(self.path, f"record {info.filename!r} is damaged")
        return data

    def _mapped(self, info: zipfile.ZipInfo) -> memoryview:
        start = self._stored(info)
        if self._mapping is None:
            self._mapping = memoryview(map_file(self._file))
        return self._mapping[start : start + info.file_size]

    def _stored(self, info: zipfile.ZipInfo) -> int:
        """Where the bytes of a record begin that is not compressed."""
        if info.compress_type != zipfile.ZIP_STORED or info.compress_size != info.file_size:
            # TorchScript compresses its code; a record of a few kilobytes may unpack to gigabytes.
            why = f"record {info.filename!r} is compressed, which torch.save never does"
            raise Unsupported(self.path, why)
        return self._start(info)

    def _start(self, info: zipfile.ZipInfo) -> int:
        """Where the bytes of a record begin."""
        self._file.seek(info.header_offset)
        header = self._file.read(_LOCAL_HEADER.size)
        start = self._size + 1
        if len(header) == _LOCAL_HEADER.size and header.startswith(b"PK\x03\x04"):
            name, extra = _LOCAL_HEADER.unpack(header)[-2:]
            start = info.header_offset + len(header) + name + extra
        if start + info.file_size > self._size:
            raise Corrupt(self.path, f"record {info.filename!r} is damaged")
        return start

    def _written_without_crc(self) -> bool:
        """``torch.serialization.set_crc32_options(False)`` leaves no usable CRC in any record."""
        small = [self._records[name] for name in _SMALL if name in self._records]
        small = [info for info in small if info.compress_size == info.file_size < 256]
        wrong = [info for info in small if zlib.crc32(self._bytes(info)) != info.CRC]
        return len(small) >= 2 and len(wrong) == len(small)


@contextmanager
def open_archive(path: Path, limits: Limits) -> Iterator[Archive]:
    """Open an archive for the length of a ``with`` block."""
    with path.open("rb") as file:
        yield Archive(str(path), file, path.stat().st_size, limits)
