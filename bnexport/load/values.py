"""Turn records into plain values: numbers, text, containers, tensors, and the few objects of a closed list.

A class of the user's list becomes an object by ``object.__new__`` and its saved attributes; nothing of it is called.
"""

from __future__ import annotations

import collections
import enum
import inspect
from typing import TYPE_CHECKING, Any, NoReturn

import torch

from bnexport.load.allow import Allowed
from bnexport.load.arrays import array, is_array
from bnexport.load.errors import Corrupt, TooLarge, Unsafe
from bnexport.load.limits import Limits
from bnexport.load.modules import rebuild_module
from bnexport.load.names import CONSTANTS, core_layer
from bnexport.load.objects import rebuild_object
from bnexport.load.plain import PLAIN
from bnexport.load.records import Bag, Call, Global, StorageRef, Table, pairs
from bnexport.load.tensors import Tensors, is_tensor
from bnexport.load.wrappers import wrapped

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Rebuild"]

_SCALARS = (bool, int, float, str, bytes, bytearray, type(None))
_KEYS = (bool, int, float, str, bytes, type(None), enum.Enum, torch.dtype, type)


class Rebuild:
    """The live counterpart of each record of one file; the same record gives the same object.

    Args:
        path: The file's name, for messages.
        tensors: Where tensors come from.
        allowed: The user's list.
        limits: The bounds.

    Attributes:
        notes: What a reader should know about how the records were read.
    """

    def __init__(self, path: str, tensors: Tensors, allowed: Allowed, limits: Limits) -> None:
        self.path, self.tensors, self.allowed, self.limits = path, tensors, allowed, limits
        self.notes: list[str] = []
        self._made: dict[int, tuple[object, Any]] = {}
        self._active: set[int] = set()
        self._count = 0
        self._static: dict[tuple[type, str], Any] = {}

    def value(self, record: Any, where: str, depth: int = 0) -> Any:
        """The live value of a record.

        Raises:
            Refused: The record is malformed, too large, or would bring code to life.
        """
        self._count += 1
        if self._count > self.limits.objects:
            raise TooLarge(self.path, "it holds too many objects", "objects")
        if depth > self.limits.depth:
            raise TooLarge(self.path, "its objects nest too deeply", "depth")
        if isinstance(record, _SCALARS):
            if isinstance(record, int) and record.bit_length() > 64:
                self.refuse(where, "an integer out of range")
            return record
        if id(record) in self._made:
            return self._made[id(record)][1]
        if id(record) in self._active:
            self.refuse(where, "the objects form a cycle")
        self._active.add(id(record))
        made = self._build(record, where, depth + 1)
        self._active.discard(id(record))
        return self.remember(record, made)

    def inside(self, record: object) -> bool:
        """Whether this record is being built just now."""
        return id(record) in self._active

    def remember(self, record: object, made: Any) -> Any:
        """Let this record stand for this object from now on, back references included."""
        # Keeping the record keeps its id from being given to another.
        self._made[id(record)] = (record, made)
        return made

    def refuse(self, where: str, why: str, remedy: str = "") -> NoReturn:
        """Raise `Unsafe` for something inside the file."""
        raise Unsafe(f"{self.path}, {where}", f"{why}; nothing from the file was run", remedy)

    def resolve(self, path: str, where: str) -> Any:
        """A name used as a value: a torch layer, a listed function or type, or what the user allowed."""
        found = CONSTANTS.get(path) or core_layer(path)
        if found is not None:
            return found
        if not self.allowed.covers(path):
            self.refuse(where, f"refers to {path}")
        return self.allowed.resolve(path)

    def static(self, cls: type, key: str) -> Any:
        """What a class has under a name, looked up without running code; None: nothing."""
        if (cls, key) not in self._static:
            self._static[cls, key] = inspect.getattr_static(cls, key, None)
        return self._static[cls, key]

    def all(self, records: Sequence[Any], where: str, depth: int) -> list[Any]:
        """The live values of several records."""
        return [self.value(record, where, depth) for record in records]

    def _build(self, record: Any, where: str, depth: int) -> Any:
        if isinstance(record, list):
            # Known before it is filled: a list may hold a module that holds the list.
            made: list[Any] = self.remember(record, [])
            made.extend(self.all(record, where, depth))
            return made
        if isinstance(record, tuple):
            return tuple(self.all(record, where, depth))
        if isinstance(record, Bag):
            items = [self.hashable(self.value(item, where, depth), where) for item in record.items]
            return frozenset(items) if record.frozen else set(items)
        if isinstance(record, Global):
            return self.resolve(record.path, where)
        if isinstance(record, Table):
            return self.mapping({}, record.entries, where, depth, record)
        if isinstance(record, Call):
            return self._call(record, where, depth)
        if isinstance(record, StorageRef):
            self.refuse(where, "a bare storage")
        self.refuse(where, f"a value of type {type(record).__name__}")

    def mapping(
        self, made: Any, entries: list[tuple[Any, Any]], where: str, depth: int, record: object
    ) -> Any:
        """Fill a dict of any class, by dict's own method."""
        self.remember(record, made)
        for key, value in entries:
            name = self.hashable(self.value(key, where, depth), where)
            inside = f"{where}[{key!r}]" if isinstance(key, str) and len(key) < 40 else where
            dict.__setitem__(made, name, self.value(value, inside, depth))
        return made

    def hashable(self, key: Any, where: str) -> Any:
        """The value, when it may be hashed: nested tuples can take for ever."""
        flat = key if isinstance(key, tuple) else (key,)
        if not all(isinstance(part, _KEYS) for part in flat):
            self.refuse(where, f"a dict key or set item of type {type(key).__name__}")
        return key

    def _call(self, record: Call, where: str, depth: int) -> Any:
        if is_tensor(record):
            return self.tensors.tensor(record, where)
        entries = pairs(record)
        if entries is not None:
            return self.mapping(self._empty_mapping(record, where), entries, where, depth, record)
        if is_array(record):
            return array(record, self.path, where)
        plain = PLAIN.get(record.path)
        if plain is not None:
            try:
                return plain(self, record, where, depth)
            except (TypeError, ValueError, IndexError, RuntimeError, OverflowError) as error:
                raise Corrupt(
                    f"{self.path}, {where}", f"malformed {record.path}: {error}"
                ) from None
        return self._object(record, where, depth)

    def _empty_mapping(self, record: Call, where: str) -> Any:
        if record.path != "collections.defaultdict":
            return collections.OrderedDict() if record.path.endswith("OrderedDict") else {}
        match record.args:
            case () | (None,):
                return collections.defaultdict(None)
            case (
                Global(
                    path="builtins.list" | "builtins.dict" | "builtins.int" | "builtins.set" as name
                ),
            ):
                return collections.defaultdict(CONSTANTS[name])
        self.refuse(where, "a defaultdict with a factory of its own")

    def _object(self, record: Call, where: str, depth: int) -> Any:
        layer = core_layer(record.path)
        if layer is not None or wrapped(record):
            return rebuild_module(self, record, layer, where, depth)
        if not self.allowed.covers(record.path):
            self.refuse(where, f"asks to call {record.path}")
        found = self.allowed.resolve(record.path)
        if isinstance(found, type) and issubclass(found, torch.nn.Module):
            return rebuild_module(self, record, found, where, depth)
        return rebuild_object(self, record, found, where, depth)
