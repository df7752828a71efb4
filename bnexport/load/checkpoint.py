"""Find the model or the state dict in what a training script saved; all that stands beside it is left alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch

from bnexport.errors import Refused
from bnexport.load.names import is_core_layer
from bnexport.load.records import Call, pairs
from bnexport.load.tensors import Tensors, is_tensor
from bnexport.load.wrappers import peel, wrapped

__all__ = ["Weights", "find", "weights_of", "weights_of_module"]

_AVERAGED = ("ema", "state_dict_ema", "model_ema", "ema_state_dict", "ema_model", "shadow")
_USUAL = (
    "state_dict",
    "model_state_dict",
    "model_state",
    "model",
    "net",
    "network",
    "module",
    "weights",
    "params",
    *_AVERAGED,
)
_LISTED = 12


@dataclass(frozen=True)
class Weights:
    """A state dict.

    Attributes:
        tensors: By key.
        metadata: The versions of the layers that wrote it, by module path; torch upgrades old layouts by them.
        others: Keys beside the tensors whose values are no tensors.
    """

    tensors: Mapping[str, torch.Tensor]
    metadata: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    others: tuple[str, ...] = ()


def find(root: Any, path: str, key: str | None) -> tuple[Any, tuple[str, ...]]:
    """The record of the model or state dict, and notes on the choice.

    Args:
        root: The saved object's record.
        path: The file's name, for messages.
        key: The entry that the user named, dotted where it is nested.

    Raises:
        Refused: There is none, there are several, or the named one is not there.
    """
    if key is not None:
        return _named(root, path, key), (f"used the entry {key!r} of the checkpoint",)
    if is_module(root) or _is_state_dict(root):
        return root, ()
    entries = _entries(root)
    if entries is None:
        kind = root.path if isinstance(root, Call) else type(root).__name__.lower()
        kind = "a single tensor" if is_tensor(root) else f"an object of {kind}"
        why = f"it holds {kind}, not a model or a state dict"
        raise Refused(path, why, "Save the model, or model.state_dict()")
    holding = {name: value for name, value in entries.items() if is_module(value) or _holds(value)}
    return _choose(entries, holding, path)


def is_module(record: Any) -> bool:
    """Whether the record has the form of a module: its own tables of parameters and children."""
    if not isinstance(record, Call):
        return False
    if wrapped(record) or is_core_layer(record.path):
        return True
    state = record.state[0] if isinstance(record.state, tuple) and record.state else record.state
    return {"_parameters", "_buffers", "_modules"} <= dict(_text(state)).keys()


def weights_of(record: Any, tensors: Tensors) -> Weights:
    """The tensors of a state dict's record."""
    entries = _entries(record) or {}
    found = {
        name: tensors.tensor(value, name) for name, value in entries.items() if is_tensor(value)
    }
    others = tuple(name for name in entries if name not in found)
    return Weights(found, _metadata(record), others)


def weights_of_module(record: Any, tensors: Tensors) -> Weights:
    """The state dict of a pickled module, taken from its records: none of its classes is needed."""
    found: dict[str, torch.Tensor] = {}
    seen: set[int] = set()
    waiting: list[tuple[str, Any]] = [("", record)]
    while waiting:
        prefix, module = waiting.pop()
        while wrapped(module):
            module = peel(module)
        if not isinstance(module, Call) or id(module) in seen:
            continue
        seen.add(id(module))
        state = dict(_text(module.state))
        for name, value in (*_text(state.get("_parameters")), *_text(state.get("_buffers"))):
            if is_tensor(value):
                found[prefix + name] = tensors.tensor(value, prefix + name)
        waiting += [(f"{prefix}{name}.", child) for name, child in _text(state.get("_modules"))]
    return Weights(found)


def _named(root: Any, path: str, key: str) -> Any:
    entries = _entries(root) or {}
    if key in entries:
        return entries[key]
    record = root
    for part in key.split("."):
        inside = _entries(record) or {}
        if part not in inside:
            why = f"it has no entry {key!r}; there are {_names(entries)}"
            raise Refused(path, why, "Name one of them with --state-dict-key")
        record = inside[part]
    if not is_module(record) and not _holds(record):
        raise Refused(path, f"the entry {key!r} is no state dict", "Name another entry")
    return record


def _choose(
    entries: Mapping[str, Any], holding: Mapping[str, Any], path: str
) -> tuple[Any, tuple[str, ...]]:
    usual = [name for name in _USUAL if name in holding]
    if not usual and len(holding) == 1:
        usual = list(holding)
    if usual:
        notes = [f"used the entry {usual[0]!r} of the checkpoint"]
        averaged = [name for name in usual[1:] if name in _AVERAGED]
        if averaged:
            notes.append(f"it also holds {averaged[0]!r} (--state-dict-key {averaged[0]})")
        return holding[usual[0]], tuple(notes)
    if holding:
        why = f"it holds several state dicts: {_names(holding)}"
        raise Refused(path, why, "Name one with --state-dict-key")
    why = f"no model and no state dict in it; its entries are {_names(entries)}"
    raise Refused(path, why, "Name the entry with --state-dict-key")


def _is_state_dict(record: Any) -> bool:
    """Tensors by name at this very level, more of them than dicts that could be state dicts."""
    entries = _entries(record)
    if not entries:
        return False
    tensors = sum(map(is_tensor, entries.values()))
    nested = any(name in entries and _holds(entries[name]) for name in _USUAL)
    return tensors > 0 and not nested and tensors >= 0.5 * len(entries)


def _holds(record: Any) -> bool:
    """Whether the record is a dict with tensors in it."""
    return any(map(is_tensor, (_entries(record) or {}).values()))


def _entries(record: Any) -> dict[str, Any] | None:
    entries = pairs(record)
    return None if entries is None else dict(_text(record))


def _text(record: Any) -> list[tuple[str, Any]]:
    return [(name, value) for name, value in pairs(record) or () if isinstance(name, str)]


def _names(entries: Mapping[str, Any]) -> str:
    names = sorted(entries)
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return (", ".join(map(repr, names[:_LISTED])) or "none") + more


def _metadata(record: Any) -> dict[str, dict[str, Any]]:
    """What ``state_dict()`` hangs on its OrderedDict: ``{"layer1.bn": {"version": 2}}``."""
    state = dict(_text(record.state)) if isinstance(record, Call) else {}
    plain = (int, str, bool, float)
    return {
        name: {key: value for key, value in _text(inner) if isinstance(value, plain)}
        for name, inner in _text(state.get("_metadata"))
    }
