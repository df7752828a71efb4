"""Turn module records into live modules, without running their constructors.

A module is ``object.__new__`` of its class, ``nn.Module.__init__``, and its saved attributes, none of which may
replace code. torch's own ``__setstate__`` then fills in what older versions did not save.
"""

from __future__ import annotations

import functools
import inspect
from typing import TYPE_CHECKING, Any

import torch

from bnexport.load.errors import Corrupt
from bnexport.load.hooks import HOOK_TABLES, restore_hooks
from bnexport.load.objects import split_state
from bnexport.load.records import Call, Global, pairs
from bnexport.load.wrappers import peel, wrapped

if TYPE_CHECKING:
    from bnexport.load.values import Rebuild

__all__ = ["rebuild_module"]

_ARCH = "Save model.state_dict() instead, and give the model's code with --arch"
_MAX_LAYERS = 10_000
_MEMBERS: dict[str, type[Any]] = {
    "_parameters": torch.nn.Parameter,
    "_buffers": torch.Tensor,
    "_modules": torch.nn.Module,
}
# Attributes that newer layers read and that their __setstate__ does not supply.
_ADDED: tuple[tuple[type[torch.nn.Module], str, Any], ...] = (
    (torch.nn.GELU, "approximate", "none"),
    (torch.nn.MultiheadAttention, "batch_first", False),
    (torch.nn.TransformerEncoderLayer, "norm_first", False),
    (torch.nn.TransformerDecoderLayer, "norm_first", False),
    (torch.nn.modules.batchnorm._NormBase, "track_running_stats", True),
)


def rebuild_module(
    rebuild: Rebuild, record: Call, cls: type[torch.nn.Module] | None, where: str, depth: int
) -> torch.nn.Module:
    """The live module of a record; the one inside, where the record is a wrapper.

    Raises:
        Unsafe: An attribute would replace code, or a hook is not torch's own.
        Corrupt: The record is malformed.
    """
    if wrapped(record):
        return _peeled(rebuild, record, where, depth)
    if cls is None:
        raise TypeError("a module record needs its class")
    state = _state(rebuild, record, where)
    made = object.__new__(cls)
    torch.nn.Module.__init__(made)
    rebuild.remember(record, made)
    restore_hooks(rebuild, made, {name: state.pop(name, None) for name in HOOK_TABLES}, where)
    members = {name: state.pop(name, None) for name in _MEMBERS}
    saved = _attributes(rebuild, record.path, cls, state, where, depth)
    for name, kind in _MEMBERS.items():
        found = _members(rebuild, cls, (name, members[name], kind), where, depth)
        clash = sorted(found.keys() & saved.keys())
        if clash:
            rebuild.refuse(where, f"{clash[0]!r} is both an attribute and in {name}")
        vars(made)[name].update(found)
    _finish(rebuild, made, saved, where)
    return made


def _peeled(rebuild: Rebuild, record: Call, where: str, depth: int) -> torch.nn.Module:
    inner = peel(record)
    name = record.path.rsplit(".", 1)[-1]
    if not isinstance(inner, Call):
        raise Corrupt(f"{rebuild.path}, {where}", f"a {name} without its inner module")
    made = rebuild.value(inner, where, depth)
    if not isinstance(made, torch.nn.Module):
        rebuild.refuse(where, f"the object inside {name} is no module")
    rebuild.notes.append(f"unwrapped {name}" + (f" at {where}" if where != "model" else ""))
    return made


def _state(rebuild: Rebuild, record: Call, where: str) -> dict[str, Any]:
    if record.args or record.keywords:
        rebuild.refuse(where, f"asks to call {record.path} with arguments", _ARCH)
    split = split_state(record.state) if record.has_state else None
    if split is None or split[1] or record.items or record.entries:
        raise Corrupt(f"{rebuild.path}, {where}", f"{record.path} without the state of a module")
    state = dict(split[0]) if all(type(key) is str for key, _ in split[0]) else None
    if state is None:
        raise Corrupt(f"{rebuild.path}, {where}", "an attribute's name is not text")
    return state


def _attributes(
    rebuild: Rebuild,
    path: str,
    cls: type[torch.nn.Module],
    state: dict[str, Any],
    where: str,
    depth: int,
) -> dict[str, Any]:
    """The plain attributes; those that nn.Module itself keeps are held to their types."""
    if state.pop("_compiled_call_impl", None) is not None:
        rebuild.refuse(where, "a compiled call replaces the module's own", _ARCH)
    if state.pop("_is_full_backward_hook", None) not in (None, True, False):
        rebuild.refuse(where, "a backward hook")
    if type(state.get("training", True)) is not bool:
        rebuild.refuse(where, "the training flag is not a flag")
    saved: dict[str, Any] = {}
    for key, record in state.items():
        static = rebuild.static(cls, key)
        if isinstance(static, functools.cached_property):
            continue
        if key.startswith("__") or _is_code(static, record):
            why = f"the saved attribute {key!r} replaces code of {path}"
            rebuild.refuse(where, why, _ARCH)
        saved[key] = rebuild.value(record, f"{where}.{key}", depth)
    names = saved.get("_non_persistent_buffers_set") or ()
    if not _is_names(names):
        rebuild.refuse(where, "malformed names of buffers")
    saved["_non_persistent_buffers_set"] = set(names)
    return saved


def _is_code(static: Any, record: Any) -> bool:
    if isinstance(static, type):
        # ``norm_layer = nn.BatchNorm2d`` on the class may be another layer class on the instance.
        return not isinstance(record, Global)
    return callable(static) or hasattr(type(static), "__get__")


def _members(
    rebuild: Rebuild,
    cls: type[torch.nn.Module],
    table: tuple[str, Any, type[Any]],
    where: str,
    depth: int,
) -> dict[str, Any]:
    """Parameters, buffers or children, each of the type that its table holds."""
    name, record, kind = table
    found: dict[str, Any] = {}
    entries = [] if record is None else pairs(record)
    if entries is None:
        raise Corrupt(f"{rebuild.path}, {where}", f"malformed {name}")
    for key, value in entries:
        if not isinstance(key, str) or not key or "." in key or key.startswith("__"):
            rebuild.refuse(where, f"the name {str(key)[:40]!r} in {name}")
        if callable(rebuild.static(cls, key)):
            rebuild.refuse(where, f"{key!r} in {name} is the name of a method of the class")
        if rebuild.inside(value):
            rebuild.refuse(f"{where}.{key}", "the modules form a cycle")
        made = None if value is None else rebuild.value(value, f"{where}.{key}", depth)
        if made is not None and not isinstance(made, kind):
            rebuild.refuse(f"{where}.{key}", f"a {type(made).__name__} in {name}")
        found[key] = made
    return found


def _finish(rebuild: Rebuild, made: torch.nn.Module, saved: dict[str, Any], where: str) -> None:
    """Set the attributes through torch's own ``__setstate__``, which supplies what is new since."""
    setter = _torch_setstate(rebuild, type(made), where)
    for cls, key, default in _ADDED:
        if isinstance(made, cls) and not hasattr(cls, key):
            saved.setdefault(key, default)
    if isinstance(made, torch.nn.RNNBase):
        _point_at_weights(rebuild, made, saved, where)
    try:
        setter(made, saved)
    except (AttributeError, KeyError, TypeError, ValueError, IndexError) as error:
        raise Corrupt(f"{rebuild.path}, {where}", f"an incomplete layer ({error})") from None


def _point_at_weights(
    rebuild: Rebuild, made: torch.nn.RNNBase, saved: dict[str, Any], where: str
) -> None:
    """A recurrent layer computes with a list of its own: it must hold the very parameters."""
    layers, names = saved.get("num_layers", 1), saved.get("_flat_weights_names") or ()
    if type(layers) is not int or not 0 < layers < _MAX_LAYERS:
        rebuild.refuse(where, "an implausible number of layers")
    if not _is_names(names):
        rebuild.refuse(where, "malformed names of weights")
    saved.pop("_flat_weight_refs", None)
    saved["_flat_weights"] = [made._parameters.get(name) for name in names]


def _is_names(names: object) -> bool:
    return isinstance(names, list | tuple | set | frozenset) and all(
        isinstance(name, str) for name in names
    )


def _torch_setstate(rebuild: Rebuild, cls: type[torch.nn.Module], where: str) -> Any:
    """The ``__setstate__`` that the class inherits from torch; one of the user's own is never run.

    Once something was compiled, `torch.nn.Module` itself has one of Dynamo's, which calls what was there before.
    """
    found = inspect.getattr_static(cls, "__setstate__")
    inherited = found is inspect.getattr_static(torch.nn.Module, "__setstate__")
    if not inherited and not getattr(found, "__module__", "").startswith("torch.nn.modules."):
        name = f"{cls.__module__}.{cls.__qualname__}"
        rebuild.refuse(where, f"{name} has a __setstate__ of its own, which is not run", _ARCH)
    return found
