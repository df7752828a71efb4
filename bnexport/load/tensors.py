"""Turn tensor records into tensors: each storage read once, every view held to its storage's bounds."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch

from bnexport.load.errors import Corrupt, TooLarge, Unsafe, Unsupported
from bnexport.load.limits import Limits
from bnexport.load.records import Call, Global, StorageRef, pairs

__all__ = ["DTYPES", "STORAGES", "Tensors", "is_of_tensors", "is_tensor"]

STORAGES: dict[str, torch.dtype] = {
    "torch.FloatStorage": torch.float32,
    "torch.DoubleStorage": torch.float64,
    "torch.HalfStorage": torch.float16,
    "torch.BFloat16Storage": torch.bfloat16,
    "torch.LongStorage": torch.int64,
    "torch.IntStorage": torch.int32,
    "torch.ShortStorage": torch.int16,
    "torch.CharStorage": torch.int8,
    "torch.ByteStorage": torch.uint8,
    "torch.BoolStorage": torch.bool,
    "torch.ComplexFloatStorage": torch.complex64,
    "torch.ComplexDoubleStorage": torch.complex128,
    "torch.storage.UntypedStorage": torch.uint8,
    "torch.UntypedStorage": torch.uint8,
}
for _name in [name for name in STORAGES if name.count(".") == 1]:
    # torch before 1.13 and tensors loaded on a GPU name the same storages elsewhere.
    STORAGES[_name.replace("torch.", "torch.cuda.")] = STORAGES[_name]

DTYPES: dict[str, torch.dtype] = {
    str(dtype): dtype for dtype in vars(torch).values() if isinstance(dtype, torch.dtype)
}
_PARAMETERS = ("torch._utils._rebuild_parameter", "torch._utils._rebuild_parameter_with_state")
_PLAIN = (
    "torch._utils._rebuild_tensor",
    "torch._utils._rebuild_tensor_v2",
    "torch._utils._rebuild_tensor_v3",
)
_TYPED = "torch._tensor._rebuild_from_type_v2"
_TYPES = ("torch.Tensor", "torch.nn.parameter.Parameter", "torch.nn.parameter.Buffer")
_MAX_DIMENSIONS = 64


def is_tensor(record: object) -> bool:
    """Whether the record is of a kind that holds a tensor, readable or not."""
    return isinstance(record, Call) and _builds(record.path)


def is_of_tensors(name: str) -> bool:
    """Whether the name stands in the records of tensors: a storage, or what builds a tensor.

    As a value by itself it becomes nothing: whoever meets it there refuses it.
    """
    return name in STORAGES or _builds(name)


def _builds(name: str) -> bool:
    return name.startswith("torch._utils._rebuild_") or name == _TYPED


class Tensors:
    """Tensors by record: the same record gives the same tensor, one storage the same memory.

    Args:
        path: The file's name, for messages.
        read: Gives the bytes of the storage with this key and size.
        limits: The bounds.
    """

    def __init__(
        self, path: str, read: Callable[[str, int], bytearray | memoryview], limits: Limits
    ) -> None:
        self._path, self._read, self._limits = path, read, limits
        self._storages: dict[str, torch.UntypedStorage] = {}
        self._made: dict[int, tuple[Call, torch.Tensor]] = {}
        self._total = 0

    def tensor(self, record: Call, where: str) -> torch.Tensor:
        """The tensor of a record that `is_tensor` knows.

        Raises:
            Corrupt: The record is malformed or reaches past its storage.
            Unsafe: It carries hooks, or a builder that is not one.
            Unsupported: It is of a kind that is not read.
        """
        if id(record) not in self._made:
            # Keeping the record keeps its id from being given to another.
            self._made[id(record)] = (record, self._build(record, where))
        return self._made[id(record)][1]

    def storages(self) -> dict[str, torch.UntypedStorage]:
        """The memory of the tensors that were made, by the storages' keys in the file."""
        return dict(self._storages)

    def _build(self, record: Call, where: str) -> torch.Tensor:
        if record.keywords or record.items or record.entries:
            raise self._corrupt(where, "malformed tensor")
        if record.path in _PARAMETERS:
            return self._parameter(record.args, where)
        if record.path == _TYPED:
            return self._typed(record.args, where)
        if record.path in _PLAIN:
            return self._plain(record, where)
        kind = record.path.rsplit("_rebuild_", 1)[-1]
        why = f"{where} is a {kind}: quantised, sparse, nested and meta tensors are not read"
        raise Unsupported(self._path, why)

    def _parameter(self, args: tuple[Any, ...], where: str) -> torch.nn.Parameter:
        match args:
            case (Call() as data, bool(requires_grad), *rest) if is_tensor(data):
                if rest and not _empty(rest[0]):
                    raise Unsafe(self._path, f"the parameter {where} carries hooks")
                value = self.tensor(data, where).detach()
                floating = value.is_floating_point() or value.is_complex()
                return torch.nn.Parameter(value, requires_grad and floating)
        raise self._corrupt(where, "malformed parameter")

    def _typed(self, args: tuple[Any, ...], where: str) -> torch.Tensor:
        match args:
            case (Global(path=builder), Global(path=kind), tuple(inner), _):
                if kind not in _TYPES:
                    raise Unsupported(self._path, f"{where} is a tensor subclass, {kind}")
                record = Call(builder, inner)
                if builder == _TYPED or not is_tensor(record):
                    why = f"{where} asks to call {builder}(...) while it is loaded"
                    raise Unsafe(self._path, f"{why}; that was not done")
                value = self._build(record, where)
                return torch.nn.Buffer(value) if kind.endswith("Buffer") else value
        raise self._corrupt(where, "malformed tensor")

    def _plain(self, record: Call, where: str) -> torch.Tensor:
        args = record.args
        if len(args) < 4 or not isinstance(args[0], StorageRef):
            raise self._corrupt(where, "malformed tensor")
        if len(args) > 5 and not _empty(args[5]):
            raise Unsafe(self._path, f"the tensor {where} carries backward hooks")
        dtype, extra = self._dtype(args[0], where), args[6:]
        if record.path.endswith("_v3"):
            named = extra[0] if extra else None
            if not isinstance(named, Global) or named.path not in DTYPES:
                raise Unsupported(self._path, f"{where} is of an unknown dtype")
            dtype, extra = DTYPES[named.path], extra[1:]
        if extra and not _empty(extra[0]):
            raise Unsupported(self._path, f"{where} is a lazily conjugated or negated tensor")
        value = self._view(args[0], dtype, self._integer(args[1], where), args[2:4], where)
        if len(args) > 4 and args[4] is True and value.is_floating_point():
            value.requires_grad_()
        return value

    def _view(
        self, storage: StorageRef, dtype: torch.dtype, offset: int, shape: Any, where: str
    ) -> torch.Tensor:
        size, stride = (self._dimensions(dimensions, where) for dimensions in shape)
        if len(size) != len(stride):
            raise self._corrupt(where, "malformed shape")
        count = math.prod(size)
        if count * dtype.itemsize > self._limits.tensor_bytes:
            raise TooLarge(self._path, f"{where} has {count} elements", "tensor_bytes")
        memory = self._storage(storage, where)
        steps = zip(size, stride, strict=True)
        last = offset + sum((length - 1) * step for length, step in steps)
        if count and (last + 1) * dtype.itemsize > memory.nbytes():
            raise self._corrupt(where, "the tensor reaches past its storage")
        value = torch.empty(0, dtype=dtype)
        with torch.no_grad():
            value.set_(memory, offset if count else 0, size, stride)
        return value

    def _dtype(self, storage: StorageRef, where: str) -> torch.dtype:
        if storage.kind not in STORAGES:
            raise Unsupported(self._path, f"{where} is kept in a {storage.kind}")
        return STORAGES[storage.kind]

    def _storage(self, ref: StorageRef, where: str) -> torch.UntypedStorage:
        size = ref.numel * self._dtype(ref, where).itemsize
        if ref.key not in self._storages:
            self._total += size
            if self._total > self._limits.total_bytes:
                raise TooLarge(self._path, "its tensors are too large together", "total_bytes")
            data = self._read(ref.key, size)
            if len(data) != size:
                why = f"storage {ref.key!r} holds {len(data)} bytes, its header says {size}"
                raise self._corrupt(where, why)
            values = torch.frombuffer(data, dtype=torch.uint8) if size else torch.empty(0)
            self._storages[ref.key] = values.untyped_storage()
        memory = self._storages[ref.key]
        if memory.nbytes() != size:
            raise self._corrupt(where, f"storage {ref.key!r} is declared with two sizes")
        return memory

    def _dimensions(self, value: Any, where: str) -> tuple[int, ...]:
        if isinstance(value, Call) and value.path == "torch.Size" and value.args:
            value = value.args[0]
        if not isinstance(value, tuple | list) or len(value) > _MAX_DIMENSIONS:
            raise self._corrupt(where, "malformed shape")
        return tuple(self._integer(item, where) for item in value)

    def _integer(self, value: Any, where: str) -> int:
        if type(value) is not int or value < 0 or value >> 48:
            raise self._corrupt(where, "a size that is no plausible integer")
        return value

    def _corrupt(self, where: str, why: str) -> Corrupt:
        return Corrupt(self._path, f"{where}: {why}", "Save or download the file again")


def _empty(record: Any) -> bool:
    if record is None:
        return True
    entries = record if isinstance(record, list | tuple) else pairs(record)
    return entries is not None and not len(entries)
