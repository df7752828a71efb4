"""Rebuild objects of the user's list that are no modules: enums, named tuples, dataclasses, dict and list kinds."""

from __future__ import annotations

import enum
import types
from typing import TYPE_CHECKING, Any

from bnexport.load.records import Call, pairs

if TYPE_CHECKING:
    from bnexport.load.values import Rebuild

__all__ = ["rebuild_object", "split_state"]

_REMEDY = "Save model.state_dict() instead, and give the model's code with --arch"


def rebuild_object(rebuild: Rebuild, record: Call, cls: Any, where: str, depth: int) -> Any:
    """The object, by ``__new__`` of the builtin type that it extends, and its saved attributes.

    Raises:
        Unsafe: It can be had only by calling code with arguments from the file.
    """
    if not isinstance(cls, type):
        rebuild.refuse(where, f"asks to call {record.path}", _REMEDY)
    if issubclass(cls, enum.Enum):
        return _enum_member(rebuild, record, cls, where, depth)
    if issubclass(cls, tuple) and hasattr(cls, "_fields"):
        return _named_tuple(rebuild, record, cls, where, depth)
    if record.args or record.keywords:
        rebuild.refuse(where, f"asks to call {record.path} with arguments", _REMEDY)
    made = _empty(rebuild, record, cls, where)
    rebuild.remember(record, made)
    if isinstance(made, dict):
        rebuild.mapping(made, record.entries, where, depth, record)
    elif isinstance(made, list):
        # By the builtin's own method, as dicts are filled: the class's may be code.
        list.extend(made, rebuild.all(record.items, where, depth))
    if record.has_state:
        if "__setstate__" in _code(cls):
            rebuild.refuse(where, f"{record.path} has a __setstate__ of its own", _REMEDY)
        _set_attributes(rebuild, record, made, where, depth)
    return made


def split_state(state: Any) -> tuple[list[tuple[Any, Any]], list[tuple[Any, Any]]] | None:
    """The entries for ``__dict__`` and for slots; None when the state is neither."""
    slots: list[tuple[Any, Any]] | None = []
    if isinstance(state, tuple) and len(state) == 2:
        state, slots = state[0], ([] if state[1] is None else pairs(state[1]))
    entries = [] if state is None else pairs(state)
    return None if entries is None or slots is None else (entries, slots)


def _enum_member(
    rebuild: Rebuild, record: Call, cls: type[enum.Enum], where: str, depth: int
) -> enum.Enum:
    """By its value, without calling the class: ``_missing_`` is code."""
    wanted = rebuild.value(record.args[0], where, depth) if len(record.args) == 1 else None
    for member in cls.__members__.values():
        if type(member.value) is type(wanted) and member.value == wanted:
            return member
    rebuild.refuse(where, f"no member of {record.path} has the value {str(wanted)[:40]!r}")


def _named_tuple(rebuild: Rebuild, record: Call, cls: type[Any], where: str, depth: int) -> Any:
    values = rebuild.all(record.args, where, depth)
    if len(values) != len(cls._fields):
        rebuild.refuse(where, f"{record.path} has {len(cls._fields)} fields, not {len(values)}")
    return tuple.__new__(cls, values)


def _empty(rebuild: Rebuild, record: Call, cls: type[Any], where: str) -> Any:
    maker: Any = cls.__new__
    if maker in (dict.__new__, list.__new__):
        return maker(cls)
    if maker is not object.__new__ or record.items or record.entries:
        rebuild.refuse(where, f"{record.path} cannot be rebuilt from data alone", _REMEDY)
    return object.__new__(cls)


def _set_attributes(rebuild: Rebuild, record: Call, made: Any, where: str, depth: int) -> None:
    split = split_state(record.state)
    if split is None:
        rebuild.refuse(where, f"{record.path} was saved with a state of its own form", _REMEDY)
    entries, slots = split
    if entries and not hasattr(made, "__dict__"):
        rebuild.refuse(where, f"{record.path} takes no attributes")
    for key, value in entries:
        if not isinstance(key, str) or key.startswith("__"):
            rebuild.refuse(where, f"attribute {str(key)[:40]!r}")
        if callable(rebuild.static(type(made), key)):
            rebuild.refuse(where, f"attribute {key!r} replaces code of {record.path}")
        made.__dict__[key] = rebuild.value(value, f"{where}.{key}", depth)
    for key, value in slots:
        slot = rebuild.static(type(made), key) if isinstance(key, str) else None
        if not isinstance(slot, types.MemberDescriptorType):
            rebuild.refuse(where, f"{str(key)[:40]!r} is no slot of {record.path}")
        slot.__set__(made, rebuild.value(value, f"{where}.{key}", depth))


def _code(cls: type[Any]) -> set[str]:
    """The names that the class and its own bases define, object's aside."""
    return {name for base in cls.__mro__ if base.__module__ != "builtins" for name in vars(base)}
