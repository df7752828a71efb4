"""One rank's tensors, by names that are the same on all ranks."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from bnexport.errors import Refused, UsageError
from bnexport.load.weights_file import WeightsFile, open_weights
from bnexport.ranks.buffers import check_statistics

__all__ = ["Rank", "Source", "read_ranks"]

Source = str | os.PathLike[str] | nn.Module | Mapping[str, Any]

_WRAPPERS = ("module.", "_orig_mod.")
_ENTRIES = ("state_dict", "model_state_dict", "model")
_NAMED = 5


@dataclass(frozen=True)
class Rank:
    """One rank.

    Attributes:
        name: The file's, or the number of what was given.
        tensors: By name, without the prefixes of DistributedDataParallel and torch.compile.
        raw: The names in the file.
        file: The file; None for what was given live.
    """

    name: str
    tensors: Mapping[str, Tensor]
    raw: Mapping[str, str]
    file: WeightsFile | None = None


def read_ranks(sources: Sequence[Source], key: str | None = None) -> tuple[Rank, ...]:
    """Every rank; nothing in a file runs.

    Raises:
        UsageError: There are fewer than two, or two are one file.
        Refused: One cannot be read, or they do not hold the same tensors.
    """
    if len(sources) < 2:
        raise UsageError(
            "one checkpoint", "there is nothing to compare it with", "Give two or more"
        )
    paths = [Path(each).resolve() for each in sources if isinstance(each, str | os.PathLike)]
    if len(set(paths)) != len(paths):
        raise UsageError("the checkpoints", "one is given twice", "Give each rank's own")
    ranks = tuple(_read(place, each, key) for place, each in enumerate(sources))
    for other in ranks[1:]:
        _check_alike(ranks[0], other)
    return ranks


def _read(place: int, source: Source, key: str | None) -> Rank:
    if isinstance(source, str | os.PathLike):
        file = open_weights(source, key)
        return _rank(str(source), file.tensors, file)
    return _rank(f"rank {place}", _live(f"rank {place}", source, key), None)


def _live(name: str, source: Any, key: str | None) -> Mapping[str, Tensor]:
    """The tensors of a module, a state dict, or what holds one of these under a usual name."""
    if isinstance(source, nn.Module):
        return {each: value.detach() for each, value in source.state_dict().items() if _is(value)}
    if not isinstance(source, Mapping):
        why = f"a {type(source).__name__} is no file, module or state dict"
        raise UsageError(name, why, "Give one of these")
    inside = [each for each in ((key,) if key else _ENTRIES) if each in source]
    if inside and not _is(source[inside[0]]):
        return _live(name, source[inside[0]], None)
    return {str(each): value.detach() for each, value in source.items() if _is(value)}


def _is(value: object) -> bool:
    return isinstance(value, Tensor)


def _rank(name: str, tensors: Mapping[str, Tensor], file: WeightsFile | None) -> Rank:
    for each, value in tensors.items():
        if value.is_meta or value.layout is not torch.strided:
            kind = "on the meta device" if value.is_meta else "sparse"
            raise Refused(name, f"{each} is {kind}", "Give tensors that hold their values")
    prefix = _prefix(tensors)
    raw = {each.removeprefix(prefix): each for each in tensors}
    rank = Rank(name, {short: tensors[each].cpu() for short, each in raw.items()}, raw, file)
    check_statistics(name, rank.tensors)
    return rank


def _prefix(names: Collection[str]) -> str:
    """What wrappers have put before all of the names, one wrapper in another."""
    shortest = min(names, key=len, default="")
    found = ""
    while wrapper := next((w for w in _WRAPPERS if shortest.startswith(found + w)), ""):
        if not all(each.startswith(found + wrapper) for each in names):
            break
        found += wrapper
    return found


def _check_alike(one: Rank, other: Rank) -> None:
    differing = sorted(one.tensors.keys() ^ other.tensors.keys())
    if differing:
        more = f" and {len(differing) - _NAMED} more" if len(differing) > _NAMED else ""
        named = ", ".join(differing[:_NAMED]) + more
        why = f"{len(differing)} names are in one of {one.name} and {other.name} only: {named}"
        raise Refused("the checkpoints", why, "Give checkpoints of one model")
    for name, value in one.tensors.items():
        forms = [_form(value), _form(other.tensors[name])]
        if forms[0] != forms[1]:
            why = f"{name} is {forms[0]} in {one.name}, {forms[1]} in {other.name}"
            raise Refused("the checkpoints", why, "Give checkpoints of one model")


def _form(value: Tensor) -> str:
    return f"{tuple(value.shape)} {str(value.dtype).removeprefix('torch.')}"
