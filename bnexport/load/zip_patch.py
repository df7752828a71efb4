"""Put right the CRCs of a zip archive some of whose stored records were written over in place.

Writing in place keeps each record at its offset, and so at the alignment that mapping it into memory wants. The
fields are those of the .ZIP File Format Specification (APPNOTE 6.3): 4.3.7, 4.3.9 and 4.3.12.
"""

from __future__ import annotations

import struct
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from typing import IO

__all__ = ["patch"]

_LOCAL = struct.Struct("<4s5H3I2H")
_CENTRAL = struct.Struct("<4s6H3I5H2I")
_LOCAL_CRC, _CENTRAL_CRC = 14, 16
_DESCRIPTOR = b"PK\x07\x08"
_HAS_DESCRIPTOR = 1 << 3


def patch(file: IO[bytes], regions: Mapping[int, bytes]) -> None:
    """Write the CRCs of records whose bytes are now ``regions``, by where these begin.

    A record whose CRC was not that of its bytes before keeps it: it was written without one.
    """
    with zipfile.ZipFile(file) as archive:
        infos, directory = archive.infolist(), archive.start_dir
    central = dict(_central(file, directory, len(infos)))
    for info in infos:
        start = _start(file, info)
        if start not in regions or info.CRC == 0:
            continue
        crc = struct.pack("<I", zlib.crc32(regions[start]))
        _write(file, info.header_offset + _LOCAL_CRC, crc)
        _write(file, central[info.header_offset] + _CENTRAL_CRC, crc)
        if info.flag_bits & _HAS_DESCRIPTOR:
            _describe(file, start + info.file_size, crc)


def _describe(file: IO[bytes], end: int, crc: bytes) -> None:
    """The data descriptor, whose signature may be left out; then the local header's CRC is zero."""
    file.seek(end)
    signed = file.read(4) == _DESCRIPTOR
    _write(file, end + (4 if signed else 0), crc)


def _start(file: IO[bytes], info: zipfile.ZipInfo) -> int:
    file.seek(info.header_offset)
    name, extra = _LOCAL.unpack(file.read(_LOCAL.size))[-2:]
    return info.header_offset + _LOCAL.size + int(name) + int(extra)


def _central(file: IO[bytes], start: int, count: int) -> Iterator[tuple[int, int]]:
    """Each record's local header, and its entry in the directory."""
    with zipfile.ZipFile(file) as archive:
        offsets = [info.header_offset for info in archive.infolist()]
    at = start
    for offset in offsets[:count]:
        file.seek(at)
        fields = _CENTRAL.unpack(file.read(_CENTRAL.size))
        yield offset, at
        at += _CENTRAL.size + sum(fields[10:13])


def _write(file: IO[bytes], at: int, data: bytes) -> None:
    file.seek(at)
    file.write(data)
