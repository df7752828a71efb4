"""Fit a state dict into a module: wrappers' prefixes stripped, every key accounted for."""

from __future__ import annotations

import collections
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from bnexport.load.checkpoint import Weights
from bnexport.load.errors import KeyMismatch, listing

__all__ = ["load_weights", "names_in"]

_PREFIXES = (
    "module.",
    "_orig_mod.",
    "model.",
    "net.",
    "network.",
    "backbone.",
    "encoder.",
    "_forward_module.",
    "ema_model.",
    "student.",
    "teacher.",
)
# What wrappers around parts of a network leave inside names: torch.compile, FSDP, activation checkpointing.
_INNER = ("_orig_mod.", "_fsdp_wrapped_module.", "_checkpoint_wrapped_module.")
_COUNTER = "num_batches_tracked"
_HALF = (torch.float16, torch.bfloat16)


def load_weights(
    module: torch.nn.Module, weights: Weights, path: str, *, partial: bool
) -> tuple[str, ...]:
    """Copy the values into the module's own parameters and buffers, cast to their dtype.

    Args:
        module: A module of our own making; it is changed.
        weights: The state dict.
        path: The file's name, for messages.
        partial: Let keys that are missing, left over or of another shape pass, with a note.

    Returns:
        Notes on what was stripped, skipped and cast.

    Raises:
        KeyMismatch: Keys are missing, left over or of another shape.
    """
    own = module.state_dict()
    strip, notes = _best_strip(weights.tensors, own)
    renamed = {strip(name): value for name, value in weights.tensors.items()}
    mismatched = _mismatched(renamed, own)
    fitting = {name: value for name, value in renamed.items() if name not in mismatched}
    missing, unexpected = _copy(module, fitting, _renamed_metadata(weights, strip))
    missing = _without_tied([name for name in missing if name not in mismatched], module, fitting)
    if missing or unexpected or mismatched:
        problem = KeyMismatch(path, missing, unexpected, list(mismatched.values()))
        if not partial or len(fitting) == len(unexpected):
            raise problem
        notes = [
            *notes,
            f"loaded in part: {problem.why}; what is missing holds the values that the factory gave it",
        ]
    return (*notes, *_odd_entries(weights), *_dtype_note(weights.tensors, own))


def names_in(given: Mapping[str, torch.Tensor], own: Mapping[str, Any]) -> dict[str, str]:
    """The key that a file has for each of the module's own, wrappers' prefixes and all."""
    strip, _ = _best_strip(given, own)
    return {strip(name): name for name in given}


class _Strip:
    """Take a prefix off a key, and the marks that torch.compile leaves inside."""

    def __init__(self, prefix: str, inner: bool) -> None:
        self.prefix, self.inner = prefix, inner

    def __call__(self, name: str) -> str:
        name = name.removeprefix(self.prefix)
        for mark in _INNER if self.inner else ():
            name = name.replace(mark, "")
        return name


def _best_strip(names: Mapping[str, Any], own: Mapping[str, Any]) -> tuple[_Strip, Sequence[str]]:
    """The stripping with which most keys are the module's own; the least of those that tie."""
    best, most = _Strip("", False), -1
    for inner in (False, True):
        for prefix in _chains(names):
            strip = _Strip(prefix, inner)
            renamed = {strip(name) for name in names}
            matches = len(renamed & own.keys())
            if matches > most and len(renamed) == len(names):
                best, most = strip, matches
    stripped = [best.prefix] if best.prefix else []
    if best.inner:
        stripped += [mark for mark in _INNER if any(mark in name for name in names)]
    return best, [f"stripped {prefix!r} from the keys" for prefix in stripped]


def _chains(names: Mapping[str, Any]) -> list[str]:
    """Every run of known prefixes that some key starts with, shortest first."""
    chains = {""}
    for name in names:
        chain, rest = "", name
        while found := next((prefix for prefix in _PREFIXES if rest.startswith(prefix)), None):
            chain, rest = chain + found, rest[len(found) :]
            chains.add(chain)
    return sorted(chains, key=lambda chain: (len(chain), chain))


def _mismatched(given: Mapping[str, torch.Tensor], own: Mapping[str, Any]) -> dict[str, str]:
    """A sentence for each key of both whose shapes differ."""
    found: dict[str, str] = {}
    for name in given.keys() & own.keys():
        ours, theirs = own[name], given[name]
        if not isinstance(ours, torch.Tensor) or torch.nn.parameter.is_lazy(ours):
            continue
        scalar = ours.ndim == 0 and tuple(theirs.shape) == (1,)
        if ours.shape != theirs.shape and not scalar:
            shapes = f"{_shape(theirs)} in the file, {_shape(ours)} in the model"
            found[name] = f"{name}: {shapes}"
    return dict(sorted(found.items()))


def _copy(
    module: torch.nn.Module, values: Mapping[str, torch.Tensor], metadata: Mapping[str, Any]
) -> tuple[list[str], list[str]]:
    """Copy by torch's own method, which also upgrades old layouts; its tallies, without the counters."""
    state: Any = collections.OrderedDict(values)
    if metadata:
        state._metadata = collections.OrderedDict(metadata)
    result = module.load_state_dict(state, strict=False)
    missing = [name for name in result.missing_keys if not name.endswith(_COUNTER)]
    unexpected = [name for name in result.unexpected_keys if not name.endswith(_COUNTER)]
    return missing, unexpected


def _without_tied(
    missing: Sequence[str], module: torch.nn.Module, given: Mapping[str, Any]
) -> list[str]:
    """What is missing in truth: .safetensors keeps one key of those that share a parameter."""
    own = module.state_dict(keep_vars=True)
    filled = {id(own[name]) for name in given.keys() & own.keys()}
    return [name for name in missing if id(own.get(name)) not in filled]


def _renamed_metadata(weights: Weights, strip: _Strip) -> dict[str, Any]:
    """Module paths lose the same prefix as the keys: ``module.conv`` is ``conv``, ``module`` the root."""
    return {
        strip(f"{name}.").removesuffix("."): dict(value)
        for name, value in weights.metadata.items()
        if f"{name}.".startswith(strip.prefix)
    }


def _odd_entries(weights: Weights) -> list[str]:
    return (
        [listing("entries ignored, as they are no tensors", weights.others)]
        if weights.others
        else []
    )


def _dtype_note(given: Mapping[str, torch.Tensor], own: Mapping[str, Any]) -> list[str]:
    """Said when every number of the checkpoint is in half precision and the module is not."""
    kinds = {value.dtype for value in given.values() if value.is_floating_point()}
    ours = {value.dtype for value in own.values() if isinstance(value, torch.Tensor)}
    if not kinds or not kinds <= set(_HALF) or ours & set(_HALF):
        return []
    names = ", ".join(sorted(str(kind).removeprefix("torch.") for kind in kinds))
    return [f"the checkpoint is in {names}; the architecture's own dtype was kept"]


def _shape(value: torch.Tensor) -> str:
    return "x".join(map(str, value.shape)) or "a single number"
