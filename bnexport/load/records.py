"""Read a pickle into inert records: no name in it is imported, nothing in it is called.

Every opcode that would import, call, hash or set state is replaced; what a file says becomes a
`Global` (a name), a `Call` (what it asks for, with arguments and state), a `Table` (a dict) or a `Bag`
(a set). Dicts and sets stay lists of entries, since hashing nested tuples can take for ever.
"""

from __future__ import annotations

import _compat_pickle
import io
import pickle
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, ClassVar

from bnexport.errors import Refused
from bnexport.load.errors import Corrupt, TooLarge
from bnexport.load.limits import Limits

__all__ = ["Bag", "Call", "Global", "StorageRef", "Table", "children", "pairs", "parse"]

_NAME_LENGTH = 400
_MAPPINGS = ("collections.OrderedDict", "collections.defaultdict", "builtins.dict")


@dataclass(frozen=True, slots=True)
class Global:
    """A name, ``module.qualname``."""

    path: str


@dataclass(frozen=True, slots=True)
class StorageRef:
    """A reference to the bytes of one storage.

    Attributes:
        kind: The storage's class: ``torch.FloatStorage``.
        key: The record that holds the bytes.
        numel: The number of elements.
    """

    kind: str
    key: str
    numel: int


@dataclass(eq=False, slots=True)
class Call:
    """An object that the file asks to be made by calling ``path``.

    Attributes:
        path: The callable's name.
        args: Positional arguments.
        keywords: Keyword arguments.
        state: What ``__setstate__`` would be given.
        has_state: Whether the file gives a state (None is one).
        items: What would be appended.
        entries: Keys and values that would be set.
    """

    path: str
    args: tuple[Any, ...] = ()
    keywords: Any = None
    state: Any = None
    has_state: bool = False
    items: list[Any] = field(default_factory=list)
    entries: list[tuple[Any, Any]] = field(default_factory=list)


@dataclass(eq=False, slots=True)
class Table:
    """A dict, as its entries in order."""

    entries: list[tuple[Any, Any]] = field(default_factory=list)


@dataclass(eq=False, slots=True)
class Bag:
    """A set or frozenset, as its items."""

    frozen: bool
    items: list[Any] = field(default_factory=list)


def parse(
    data: bytes | bytearray | memoryview, what: str, limits: Limits, named: set[str] | None = None
) -> tuple[Any, int]:
    """The records of one pickle, and how many bytes it took.

    Args:
        data: The pickle.
        what: What to call it in errors.
        limits: The bounds.
        named: Is given every name in the pickle, those of calls whose results are thrown away, too.

    Raises:
        Corrupt: It is truncated or not well-formed.
        TooLarge: It nests too deeply or names too many classes.
    """
    stream = io.BytesIO(data)
    try:
        machine = _Inert(stream, len(data), what, limits)
        root = machine.load()
        if named is not None:
            named.update(machine.names)
        return root, stream.tell()
    except Refused:
        raise
    except EOFError:
        raise Corrupt(what, "the pickle is truncated", "Save or download the file again") from None
    except (RecursionError, MemoryError):
        raise TooLarge(what, "the pickle asks for too much depth or memory") from None
    except Exception as error:
        # Any failure of the opcode machine is a malformed stream, whatever its type.
        reason = f"not a well-formed pickle ({type(error).__name__}: {str(error)[:100]})"
        raise Corrupt(what, reason, "Save or download the file again") from None


def pairs(record: object) -> list[tuple[Any, Any]] | None:
    """The entries of a dict or OrderedDict; None when the record is neither."""
    if isinstance(record, Table):
        return record.entries
    if not isinstance(record, Call) or record.path not in _MAPPINGS:
        return None
    entries = list(record.entries)
    if record.args and record.path != "collections.defaultdict":
        first = record.args[0]
        if len(record.args) > 1 or not isinstance(first, list | tuple | Table):
            return None
        rows = first.entries if isinstance(first, Table) else first
        if not all(isinstance(row, list | tuple) and len(row) == 2 for row in rows):
            return None
        entries = [(row[0], row[1]) for row in rows] + entries
    return entries


def children(record: object) -> Iterator[Any]:
    """The records directly inside a record."""
    if isinstance(record, list | tuple):
        yield from record
    elif isinstance(record, Table):
        for key, value in record.entries:
            yield key
            yield value
    elif isinstance(record, Bag):
        yield from record.items
    elif isinstance(record, Call):
        yield Global(record.path)
        yield from (record.args, record.keywords, record.state, record.items, record.entries)


class _Stop(Exception):
    """The pickle has come to its end."""

    def __init__(self, root: Any) -> None:
        super().__init__()
        self.root = root


class _Inert(pickle._Unpickler):
    """pickle's own opcode machine, with everything that could act taken out."""

    dispatch: ClassVar[dict[int, Callable[[Any], None]]] = dict(pickle._Unpickler.dispatch)
    stack: list[Any]
    proto: int

    def __init__(self, stream: io.BytesIO, size: int, what: str, limits: Limits) -> None:
        super().__init__(stream, encoding="utf-8")
        self._what, self._limits, self._stream, self._size = what, limits, stream, size
        self.names: dict[str, Global] = {}
        self.proto = 0

    def load(self) -> Any:
        """The root, by pickle's own loop, less its reader of frames: all is in memory."""
        self.read, self.readline = self._stream.read, self._stream.readline
        self.readinto = self._stream.readinto
        self.metastack: list[list[Any]] = []
        self.stack = []
        self.append = self.stack.append
        read, dispatch = self.read, self.dispatch
        try:
            while True:
                key = read(1)
                if not key:
                    raise EOFError
                dispatch[key[0]](self)
        except _Stop as stop:
            return stop.root

    def pass_frame(self) -> None:
        """A frame tells how much to fetch at once."""
        header = self._stream.read(8)
        if len(header) < 8 or int.from_bytes(header, "little") > self._size - self._stream.tell():
            raise EOFError

    def find_class(self, module: str, name: str) -> Any:
        if not isinstance(module, str) or not isinstance(name, str):
            raise Corrupt(self._what, "a class name is not text")
        if len(module) + len(name) > _NAME_LENGTH:
            raise Corrupt(self._what, "a class name is too long")
        if self.proto < 3:
            module, name = _python3_name(module, name)
        path = f"{module}.{name}"
        # A function inside another is named `outer.<locals>.inner`, and refused later by that name.
        if not all(part.isidentifier() or part == "<locals>" for part in path.split(".")):
            raise Corrupt(self._what, f"malformed class name {path[:80]!r}")
        if path not in self.names:
            if len(self.names) >= self._limits.classes:
                raise TooLarge(self._what, "it names too many classes", "classes")
            self.names[path] = Global(path)
        return self.names[path]

    def persistent_load(self, pid: Any) -> Any:
        match pid:
            case ("module" | b"module", Global() as cls, _, _):
                # torch before 1.6 sent a class with its source text, which is not looked at.
                return cls
            case ("storage" | b"storage", Global(path=kind), str(key), str(), int(numel), *rest):
                if len(rest) > 1 or type(numel) is not int or numel < 0 or numel >> 62:
                    raise Corrupt(self._what, "malformed storage reference")
                return StorageRef(kind, key, numel)
        raise Corrupt(self._what, "malformed storage reference")

    def get_extension(self, code: int) -> None:
        raise Corrupt(self._what, "the pickle extension registry is not used by torch.save")

    def call(self, function: Any, args: Any, keywords: Any = None) -> Call:
        if not isinstance(function, Global) or not isinstance(args, tuple):
            raise Corrupt(self._what, "calls something that is not a name")
        return Call(function.path, args, keywords)

    def extend(self, target: Any, values: list[Any]) -> None:
        if isinstance(target, list):
            target.extend(values)
        elif isinstance(target, Call | Bag):
            target.items.extend(values)
        else:
            raise Corrupt(self._what, "appends to something that is not a list")

    def set_entries(self, target: Any, flat: list[Any]) -> None:
        if not isinstance(target, Call | Table) or len(flat) % 2:
            raise Corrupt(self._what, "sets items of something that is not a dict")
        target.entries.extend(zip(flat[::2], flat[1::2], strict=True))

    def set_state(self, target: Any, state: Any) -> None:
        if not isinstance(target, Call):
            raise Corrupt(self._what, "gives a state to something that has none")
        if target.has_state:
            raise Corrupt(self._what, f"an object of {target.path} is given its state twice")
        target.state, target.has_state = state, True


def _python3_name(module: str, name: str) -> tuple[str, str]:
    """What pickle itself maps: protocols below 3 carry the names of Python 2."""
    if (module, name) in _compat_pickle.NAME_MAPPING:
        return _compat_pickle.NAME_MAPPING[(module, name)]
    return _compat_pickle.IMPORT_MAPPING.get(module, module), name


def _stop(machine: Any) -> None:
    raise _Stop(machine.stack.pop())


def _reduce(machine: Any) -> None:
    args = machine.stack.pop()
    machine.stack[-1] = machine.call(machine.stack[-1], args)


def _newobj_ex(machine: Any) -> None:
    keywords, args, cls = machine.stack.pop(), machine.stack.pop(), machine.stack.pop()
    machine.append(machine.call(cls, args, keywords))


def _obj(machine: Any) -> None:
    cls, *args = machine.pop_mark()
    machine.append(machine.call(cls, tuple(args)))


def _inst(machine: Any) -> None:
    module, name = (machine.readline()[:-1].decode("ascii") for _ in range(2))
    args = tuple(machine.pop_mark())
    machine.append(machine.call(machine.find_class(module, name), args))


def _build(machine: Any) -> None:
    state = machine.stack.pop()
    machine.set_state(machine.stack[-1], state)


def _append(machine: Any) -> None:
    value = machine.stack.pop()
    machine.extend(machine.stack[-1], [value])


def _appends(machine: Any) -> None:
    values = machine.pop_mark()
    machine.extend(machine.stack[-1], values)


def _setitem(machine: Any) -> None:
    value, key = machine.stack.pop(), machine.stack.pop()
    machine.set_entries(machine.stack[-1], [key, value])


def _setitems(machine: Any) -> None:
    flat = machine.pop_mark()
    machine.set_entries(machine.stack[-1], flat)


def _dict(machine: Any) -> None:
    flat = machine.pop_mark()
    table = Table()
    machine.set_entries(table, flat)
    machine.append(table)


def _bytearray(machine: Any) -> None:
    """The library makes the buffer before it knows whether there are so many bytes."""
    length = int.from_bytes(machine.read(8), "little")
    data = machine.read(min(length, sys.maxsize))
    if len(data) < length:
        raise EOFError
    machine.append(bytearray(data))


_INERT: dict[bytes, Callable[[Any], None]] = {
    pickle.FRAME: lambda machine: machine.pass_frame(),
    pickle.STOP: _stop,
    pickle.REDUCE: _reduce,
    pickle.NEWOBJ: _reduce,
    pickle.NEWOBJ_EX: _newobj_ex,
    pickle.OBJ: _obj,
    pickle.INST: _inst,
    pickle.BUILD: _build,
    pickle.APPEND: _append,
    pickle.APPENDS: _appends,
    pickle.ADDITEMS: _appends,
    pickle.SETITEM: _setitem,
    pickle.SETITEMS: _setitems,
    pickle.DICT: _dict,
    pickle.BYTEARRAY8: _bytearray,
    pickle.EMPTY_DICT: lambda machine: machine.append(Table()),
    pickle.EMPTY_SET: lambda machine: machine.append(Bag(frozen=False)),
    pickle.FROZENSET: lambda machine: machine.append(Bag(frozen=True, items=machine.pop_mark())),
}
_Inert.dispatch.update({opcode[0]: action for opcode, action in _INERT.items()})
