"""Check the tensors of an ONNX file, and read external data from inside the model's folder alone."""

from __future__ import annotations

import errno
import math
import os
import stat
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

import numpy as np
import onnx
from onnx import TensorProto

from bnexport.isolation.session import Mapped
from bnexport.load.errors import Corrupt, TooLarge, Unsafe, Unsupported
from bnexport.load.limits import Limits

__all__ = ["TensorCheck", "known_type"]

_BITS: dict[int, int] = {
    TensorProto.FLOAT: 32,
    TensorProto.UINT8: 8,
    TensorProto.INT8: 8,
    TensorProto.UINT16: 16,
    TensorProto.INT16: 16,
    TensorProto.INT32: 32,
    TensorProto.INT64: 64,
    TensorProto.BOOL: 8,
    TensorProto.FLOAT16: 16,
    TensorProto.DOUBLE: 64,
    TensorProto.UINT32: 32,
    TensorProto.UINT64: 64,
    TensorProto.COMPLEX64: 64,
    TensorProto.COMPLEX128: 128,
    TensorProto.BFLOAT16: 16,
    TensorProto.FLOAT8E4M3FN: 8,
    TensorProto.FLOAT8E4M3FNUZ: 8,
    TensorProto.FLOAT8E5M2: 8,
    TensorProto.FLOAT8E5M2FNUZ: 8,
    TensorProto.UINT4: 4,
    TensorProto.INT4: 4,
    TensorProto.FLOAT4E2M1: 4,
}
# The types of which NumPy makes arrays that ONNX Runtime takes.
NUMPY: dict[int, type[np.generic]] = {
    TensorProto.FLOAT: np.float32,
    TensorProto.DOUBLE: np.float64,
    TensorProto.FLOAT16: np.float16,
    TensorProto.INT8: np.int8,
    TensorProto.INT16: np.int16,
    TensorProto.INT32: np.int32,
    TensorProto.INT64: np.int64,
    TensorProto.UINT8: np.uint8,
    TensorProto.UINT16: np.uint16,
    TensorProto.UINT32: np.uint32,
    TensorProto.UINT64: np.uint64,
    TensorProto.BOOL: np.bool_,
}
_COMPLEX = (TensorProto.COMPLEX64, TensorProto.COMPLEX128)
_FIELDS = ("float_data", "int32_data", "int64_data", "double_data", "uint64_data")
# Where onnx.proto wants the values of a type; of the others, in int32_data.
_FIELD: dict[int, str] = {
    TensorProto.FLOAT: "float_data",
    TensorProto.COMPLEX64: "float_data",
    TensorProto.DOUBLE: "double_data",
    TensorProto.COMPLEX128: "double_data",
    TensorProto.INT64: "int64_data",
    TensorProto.UINT32: "uint64_data",
    TensorProto.UINT64: "uint64_data",
}
_KEYS = ("location", "offset", "length", "checksum")
_MAX_DIMENSIONS = 16
_MAX_LOCATION = 1024


def known_type(element: int) -> bool:
    """Whether values of this element type can be in a graph that bnexport reads."""
    return element in _BITS or element == TensorProto.STRING


class TensorCheck:
    """Checks tensors one by one; external files are opened once and closed at the end of the ``with`` block.

    Args:
        path: The ONNX file.
        limits: The bounds.
        map_data: Whether external data stays where it is, for `mapped` to tell, and is not read.
    """

    def __init__(self, path: Path, limits: Limits, *, map_data: bool = False) -> None:
        self._path, self._limits = str(path), limits
        self._map_data = map_data
        self._mapped: list[Mapped] = []
        self._folder = path.resolve().parent
        self._files: dict[str, BinaryIO] = {}
        self._total = 0

    def __enter__(self) -> TensorCheck:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the files."""
        for file in self._files.values():
            file.close()

    def mapped(self) -> tuple[tuple[Mapped, ...], tuple[BinaryIO, ...]]:
        """The weights that were left in files, and these files, open."""
        return tuple(self._mapped), tuple(self._files.values())

    def check(self, tensor: onnx.TensorProto, where: str, *, main: bool = False) -> None:
        """Hold a tensor's bytes to its shape; external ones are read into it, or mapped.

        Args:
            tensor: The tensor.
            where: What to call it.
            main: Whether it is a weight of the main graph, which is what can be left in its file.

        Raises:
            Corrupt: Its size is not that of its shape.
            Unsafe: Its external data lies outside the model's folder.
            Unsupported: It is of a type that is not read.
        """
        count, size = self._size(tensor, where)
        if tensor.data_location == TensorProto.EXTERNAL:
            self._read_external(tensor, size, where, main)
        elif tensor.external_data:
            raise Corrupt(self._path, f"{where}: an inline tensor that names external data")
        elif tensor.HasField("raw_data"):
            if len(tensor.raw_data) != size:
                why = f"{where} holds {len(tensor.raw_data)} bytes, its shape needs {size}"
                raise Corrupt(self._path, why)
        else:
            self._check_values(tensor, count, where)

    def _size(self, tensor: onnx.TensorProto, where: str) -> tuple[int, int]:
        if tensor.data_type not in _BITS or tensor.string_data:
            raise Unsupported(self._path, f"{where} is of data type {tensor.data_type}")
        if len(tensor.dims) > _MAX_DIMENSIONS or any(length < 0 for length in tensor.dims):
            raise Corrupt(self._path, f"{where}: implausible shape {list(tensor.dims)[:20]}")
        count = math.prod(tensor.dims)
        size = (count * _BITS[tensor.data_type] + 7) // 8
        self._total += size
        if self._total > self._limits.total_bytes:
            raise TooLarge(self._path, "its tensors are too large together", "total_bytes")
        return count, size

    def _check_values(self, tensor: onnx.TensorProto, count: int, where: str) -> None:
        if tensor.data_type in _COMPLEX:
            count *= 2
        elif _BITS[tensor.data_type] == 4:
            count = (count + 1) // 2
        field = _FIELD.get(tensor.data_type, "int32_data")
        if any(len(getattr(tensor, name)) for name in _FIELDS if name != field):
            raise Corrupt(self._path, f"{where} keeps its values where its type does not belong")
        held = len(getattr(tensor, field))
        if held != count:
            raise Corrupt(self._path, f"{where} holds {held} values, its shape needs {count}")

    def _read_external(self, tensor: onnx.TensorProto, size: int, where: str, main: bool) -> None:
        file, offset = self._external(tensor, size, where)
        if self._map_data and main and tensor.data_type in NUMPY:
            place = list(self._files.values()).index(file)
            dtype = np.dtype(NUMPY[tensor.data_type]).str
            self._mapped.append(Mapped(tensor.name, place, offset, dtype, tuple(tensor.dims)))
            return
        file.seek(offset)
        tensor.raw_data = file.read(size)
        tensor.ClearField("external_data")
        tensor.data_location = TensorProto.DEFAULT

    def _external(self, tensor: onnx.TensorProto, size: int, where: str) -> tuple[BinaryIO, int]:
        """The file that holds the tensor's bytes, and where in it."""
        fields = {entry.key: entry.value for entry in tensor.external_data}
        if len(fields) != len(tensor.external_data) or not set(fields) <= set(_KEYS):
            raise Corrupt(self._path, f"{where}: malformed external data")
        try:
            offset = int(fields.get("offset", "0"))
            length = int(fields.get("length", str(size)))
        except ValueError:
            raise Corrupt(self._path, f"{where}: malformed external data") from None
        location: object = fields.get("location", "")
        if not isinstance(location, str):
            # protobuf hands text that is no UTF-8 on as bytes.
            raise Corrupt(self._path, f"{where}: malformed external data")
        if offset < 0 or length != size:
            why = f"{where}: external data of {length} bytes, its shape needs {size}"
            raise Corrupt(self._path, why)
        if location not in self._files:
            self._files[location] = self._open(location, where)
        file = self._files[location]
        available = os.fstat(file.fileno()).st_size
        if offset + length > available:
            why = f"{where}: external data ends at {offset + length}, {location!r} at {available}"
            raise Corrupt(self._path, why, "Copy the data file anew beside the model")
        return file, offset

    def _open(self, location: str, where: str) -> BinaryIO:
        """Open by one folder after another, following no link, so that nothing outside is reached."""
        parts = location.split("/")
        odd = "\0" in location or "\\" in location or len(location) > _MAX_LOCATION
        if odd or any(part in ("", ".", "..") for part in parts):
            why = f"{where}: external data {location[:60]!r} is not inside the model's folder"
            raise Unsafe(self._path, why, "Put the data file beside the model")
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
        current = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            for index, part in enumerate(parts):
                folder = 0 if index == len(parts) - 1 else os.O_DIRECTORY
                inner = os.open(part, flags | folder, dir_fd=current)
                os.close(current)
                current = inner
            self._check_regular(current, location, where)
            return os.fdopen(os.dup(current), "rb")
        except OSError as error:
            raise self._unreadable(error, location, where) from None
        finally:
            os.close(current)

    def _check_regular(self, descriptor: int, location: str, where: str) -> None:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise Unsafe(self._path, f"{where}: external data {location!r} is not a regular file")
        if status.st_nlink > 1:
            why = f"{where}: external data {location!r} has hard links elsewhere"
            raise Unsafe(self._path, why, "Copy the data file instead of linking it")

    def _unreadable(self, error: OSError, location: str, where: str) -> Exception:
        what = f"{where}: external data {location!r}"
        if error.errno in (errno.ELOOP, errno.ENOTDIR):
            remedy = "Put the data file itself beside the model"
            return Unsafe(self._path, f"{what} is reached by a symbolic link", remedy)
        if error.errno == errno.ENOENT:
            return Corrupt(self._path, f"{what} is missing", "Put it beside the model")
        return Corrupt(self._path, f"{what} cannot be read ({os.strerror(error.errno or 0)})")
