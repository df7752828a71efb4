"""The closed list of plain objects that a pickle makes by calls: each is rebuilt here, by our own hand."""

from __future__ import annotations

import argparse
import collections
import enum
import functools
import types
from collections.abc import Callable
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

import torch

from bnexport.load.names import CONSTANTS
from bnexport.load.records import Bag, Call, Global, Table, pairs

if TYPE_CHECKING:
    from bnexport.load.values import Rebuild

__all__ = ["PLAIN"]


def _sequence(rebuild: Rebuild, record: Call, where: str, depth: int) -> Any:
    items = record.args[0] if record.args else record.items
    values = rebuild.all(items.items if isinstance(items, Bag) else list(items), where, depth)
    name = record.path.removeprefix("builtins.")
    if name in ("set", "frozenset"):
        for item in values:
            rebuild.hashable(item, where)
    kinds: dict[str, Any] = {
        "set": set,
        "frozenset": frozenset,
        "list": list,
        "tuple": tuple,
        "collections.deque": collections.deque,
    }
    return kinds[name](values)


def _namespace(rebuild: Rebuild, record: Call, where: str, depth: int) -> Any:
    made: Any = argparse.Namespace() if "argparse" in record.path else types.SimpleNamespace()
    rebuild.remember(record, made)
    for key, value in pairs(record.state) or ():
        if not isinstance(key, str) or key.startswith("__"):
            rebuild.refuse(where, f"attribute {str(key)[:40]!r}")
        made.__dict__[key] = rebuild.value(value, f"{where}.{key}", depth)
    return made


def _partial(rebuild: Rebuild, record: Call, where: str, depth: int) -> Any:
    """``norm_layer=partial(nn.LayerNorm, eps=...)``: a layer class, or a function named by the user."""
    match record.state:
        case (Global(path=path), tuple(args), Table(entries=entries), (None | Table(entries=[]))):
            function = rebuild.resolve(path, where)
            layer = isinstance(function, type) and issubclass(function, torch.nn.Module)
            if not layer and path not in CONSTANTS and not rebuild.allowed.named(path):
                rebuild.refuse(where, f"functools.partial of {path}", f"Name it: --allow {path}")
            keywords = {str(key): rebuild.value(value, where, depth) for key, value in entries}
            return functools.partial(function, *rebuild.all(args, where, depth), **keywords)
    rebuild.refuse(where, "functools.partial of something that is not a name")


def _member(rebuild: Rebuild, record: Call, where: str, depth: int) -> Any:
    """``getattr(torch, "relu")``, or ``getattr(SomeEnum, "MEMBER")`` as newer Pythons write a member."""
    match record.args:
        case (Global(path="torch._C._VariableFunctionsClass"), str(name)):
            return rebuild.resolve(f"torch.{name}", where)
        case (Global(path=path), str(name)):
            found = rebuild.resolve(path, where)
            if (
                isinstance(found, type)
                and issubclass(found, enum.Enum)
                and name in found.__members__
            ):
                return found.__members__[name]
    rebuild.refuse(where, "an attribute of an object is used as a value", _METHODS)


def _text(record: Call) -> list[str]:
    if not all(isinstance(part, str) for part in record.args):
        raise TypeError("not text")
    return list(record.args)


def _integers(record: Call) -> list[Any]:
    if not all(part is None or type(part) is int for part in record.args):
        raise TypeError("not integers")
    return list(record.args)


def _size(rebuild: Rebuild, record: Call, where: str, depth: int) -> Any:
    return torch.Size(rebuild.all(record.args[0] if record.args else (), where, depth))


def _encode(rebuild: Rebuild, record: Call, where: str, depth: int) -> Any:
    text, coding = _text(record)
    if coding != "latin1":
        raise ValueError("an unexpected encoding")
    return text.encode(coding)


def _device(rebuild: Rebuild, record: Call, where: str, depth: int) -> Any:
    kind, *index = record.args
    if kind not in ("cpu", "cuda", "meta", "mps", "xpu", "hpu", "xla"):
        raise ValueError("an unknown device")
    return torch.device(kind, *index)


_METHODS = (
    "A saved method or attribute reference cannot be read inertly: "
    "save model.state_dict() and give the model's code with --arch"
)
PLAIN: dict[str, Callable[[Rebuild, Call, str, int], Any]] = {
    "_codecs.encode": _encode,
    "argparse.Namespace": _namespace,
    "builtins.complex": lambda _, record, *__: complex(*map(float, record.args)),
    "builtins.frozenset": _sequence,
    "builtins.getattr": _member,
    "builtins.list": _sequence,
    "builtins.range": lambda _, record, *__: range(*_integers(record)),
    "builtins.set": _sequence,
    "builtins.slice": lambda _, record, *__: slice(*_integers(record)),
    "builtins.tuple": _sequence,
    "collections.deque": _sequence,
    "functools.partial": _partial,
    "pathlib.PosixPath": lambda _, record, *__: PurePosixPath(*_text(record)),
    "pathlib.PurePosixPath": lambda _, record, *__: PurePosixPath(*_text(record)),
    "pathlib._local.PosixPath": lambda _, record, *__: PurePosixPath(*_text(record)),
    "torch.Size": _size,
    "torch.device": _device,
    "torch.serialization._get_layout": lambda _, record, *__: CONSTANTS[_text(record)[0]],
    "types.SimpleNamespace": _namespace,
}
