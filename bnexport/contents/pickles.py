"""A pickle's names and tensors, out of its inert records."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bnexport.contents.contents import DANGER, RISK, Contents, Name, Record, Risk, Stored
from bnexport.load.hooks import HOOK_TABLES
from bnexport.load.limits import in_force
from bnexport.load.names import is_core_layer, is_known
from bnexport.load.needs import is_never, mentions
from bnexport.load.records import Call, Global, StorageRef, children, pairs
from bnexport.load.tensors import STORAGES, is_tensor
from bnexport.load.wrappers import wrapped

__all__ = ["names_of", "pickled", "risks_of"]

_ORDER = ("never", "class", "layer", "plain")
_LISTED = 5


def pickled(
    path: Path, kind: str, root: Any, named: set[str], records: tuple[Record, ...] = ()
) -> Contents:
    """What a torch.save file holds.

    Args:
        path: The file.
        kind: What it is.
        root: The records of its pickle.
        named: Every name in it: a call whose result is thrown away is in no record.
        records: Of the archive.
    """
    names, tensors = names_of(root, named), tuple(_tensors(root))
    risks = (*risks_of(names), *_of_modules(root))
    return Contents(path, kind, path.stat().st_size, records, names, tensors, {}, risks)


def names_of(root: Any, named: set[str]) -> tuple[Name, ...]:
    """Every name of the pickle, the worst first."""
    mentioned = dict(mentions(root, whole=True))
    calls = {**dict.fromkeys(named, True), **mentioned}
    found = [Name(name, called, _standing(name, called)) for name, called in calls.items()]
    return tuple(sorted(found, key=lambda each: (_ORDER.index(each.standing), each.name)))


def risks_of(names: tuple[Name, ...]) -> tuple[Risk, ...]:
    """What believing these names would mean."""
    never = [each for each in names if each.standing == "never"]
    risks = [
        Risk(
            DANGER,
            f"it {'asks to call' if each.called else 'refers to'} {each.name}: no model needs it",
        )
        for each in never
    ]
    classes = [each.name for each in names if each.standing == "class"]
    if classes:
        more = f" and {len(classes) - _LISTED} more" if len(classes) > _LISTED else ""
        listed = ", ".join(classes[:_LISTED]) + more
        risks.append(
            Risk(RISK, f"it needs classes of other packages: {listed} (--allow, or --arch)")
        )
    return tuple(risks)


def _standing(name: str, called: bool) -> str:
    if is_core_layer(name):
        return "layer"
    if is_known(name) or name.startswith(("torch._utils._rebuild_", "torch._tensor._rebuild_")):
        return "plain"
    if (
        name in STORAGES
        or wrapped(Call(name))
        or name in ("torch.nn.parameter.Parameter", "torch.Tensor")
    ):
        return "plain"
    return "never" if is_never(name, called) else "class"


def _of_modules(root: Any) -> Iterator[Risk]:
    """Hooks, and attributes in the place of methods."""
    for record in _walk(root):
        if not isinstance(record, Call):
            continue
        for name, value in _text(record.state):
            if name in HOOK_TABLES and pairs(value):
                yield Risk(DANGER, f"a {record.path} carries hooks in {name}")
            if name in ("forward", "__call__", "_call_impl", "__class__"):
                yield Risk(DANGER, f"a {record.path} has its {name} replaced by an attribute")


def _tensors(root: Any) -> Iterator[Stored]:
    """Each tensor once, under the first path that leads to it."""
    seen: set[int] = set()
    waiting: list[tuple[str, Any, int]] = [("", root, 0)]
    while waiting:
        where, record, depth = waiting.pop()
        if id(record) in seen or depth > in_force().depth:
            continue
        if is_tensor(record):
            seen.add(id(record))
            told = _stored(where or "tensor", record)
            if told is not None:
                yield told
            continue
        inside = list(_inside(record))
        if inside:
            seen.add(id(record))
        waiting += [
            (f"{where}.{name}".lstrip("."), value, depth + 1) for name, value in reversed(inside)
        ]


def _inside(record: Any) -> Iterator[tuple[str, Any]]:
    """Named parts: of a module, its tables' entries under their own names."""
    if isinstance(record, Call) and record.has_state and pairs(record) is None:
        for name, value in _text(record.state):
            if name in ("_parameters", "_buffers", "_modules"):
                yield from _text(value)
            else:
                yield name, value
        for value in record.args:
            yield "", value
    elif pairs(record) is not None:
        yield from _text(record)
    elif isinstance(record, list | tuple):
        for index, value in enumerate(record):
            if not isinstance(value, str | int | float | bool | bytes | type(None)):
                yield str(index), value


def _stored(where: str, record: Call) -> Stored | None:
    """The storage and the shape among the arguments, however deep they are wrapped."""
    args = record.args
    while args and not isinstance(args[0], StorageRef):
        inner = next((each for each in args if isinstance(each, Call) and is_tensor(each)), None)
        if inner is None:
            inner_args = next((each for each in args if isinstance(each, tuple)), None)
            if not inner_args or args is inner_args:
                return None
            args = inner_args
        else:
            args = inner.args
    if len(args) < 3:
        return None
    size = args[2].args[0] if isinstance(args[2], Call) and args[2].args else args[2]
    if not isinstance(size, tuple | list) or not all(type(each) is int for each in size):
        return None
    dtype = STORAGES.get(args[0].kind)
    named = next(
        (each.path for each in args[3:] if isinstance(each, Global) and "torch." in each.path), ""
    )
    told = str(dtype or args[0].kind).removeprefix("torch.")
    bytes_ = math.prod(size) * (dtype.itemsize if dtype is not None else 1)
    return Stored(where, (named or told).removeprefix("torch."), tuple(size), bytes_)


def _walk(root: Any) -> Iterator[Any]:
    seen: set[int] = set()
    waiting = [root]
    while waiting:
        record = waiting.pop()
        inside = list(children(record))
        if id(record) in seen:
            continue
        if inside:
            seen.add(id(record))
        yield record
        waiting += inside


def _text(record: Any) -> list[tuple[str, Any]]:
    record = record[0] if isinstance(record, tuple) and record else record
    return [(name, value) for name, value in pairs(record) or () if isinstance(name, str)]
