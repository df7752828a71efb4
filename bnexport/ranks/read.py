"""One rank's tensors, by names that are the same on all ranks."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor, nn

from bnexport.errors import Refused, UsageError
from bnexport.load.weights_file import WeightsFile, open_weights

__all__ = ["Rank", "Source", "layers_of", "read_ranks"]

Source = str | os.PathLike[str] | nn.Module | Mapping[str, Tensor]

_WRAPPERS = ("module.", "_orig_mod.")
_STATISTICS = ("running_mean", "running_var")
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


def layers_of(rank: Rank) -> tuple[str, ...]:
    """The BatchNorms: names with a running mean and a running variance, in the order of the file."""
    found = [name.removesuffix(_STATISTICS[0]) for name in rank.tensors if _is_mean(name)]
    return tuple(
        prefix.removesuffix(".") for prefix in found if prefix + _STATISTICS[1] in rank.tensors
    )


def _is_mean(name: str) -> bool:
    return name == _STATISTICS[0] or name.endswith(f".{_STATISTICS[0]}")


def _read(place: int, source: Source, key: str | None) -> Rank:
    if isinstance(source, str | os.PathLike):
        file = open_weights(source, key)
        return _rank(str(source), file.tensors, file)
    given = source.state_dict() if isinstance(source, nn.Module) else source
    tensors = {name: value for name, value in given.items() if isinstance(value, Tensor)}
    return _rank(f"rank {place}", {name: value.detach() for name, value in tensors.items()}, None)


def _rank(name: str, tensors: Mapping[str, Tensor], file: WeightsFile | None) -> Rank:
    raw = {_canonical(key, tensors): key for key in tensors}
    return Rank(name, {short: tensors[key].cpu() for short, key in raw.items()}, raw, file)


def _canonical(name: str, names: Mapping[str, object]) -> str:
    """Without the prefixes that all of the names bear."""
    for _ in _WRAPPERS:
        for prefix in _WRAPPERS:
            if all(each.startswith(prefix) for each in names):
                names = {each.removeprefix(prefix): None for each in names}
                name = name.removeprefix(prefix)
    return name


def _check_alike(one: Rank, other: Rank) -> None:
    differing = sorted(one.tensors.keys() ^ other.tensors.keys())
    if differing:
        more = f" and {len(differing) - _NAMED} more" if len(differing) > _NAMED else ""
        named = ", ".join(differing[:_NAMED]) + more
        why = f"{len(differing)} names are in one of {one.name} and {other.name} only: {named}"
        raise Refused("the checkpoints", why, "Give checkpoints of one model")
    for name, value in one.tensors.items():
        if value.shape != other.tensors[name].shape:
            why = f"{name} is {tuple(value.shape)} in {one.name}, {tuple(other.tensors[name].shape)} in {other.name}"
            raise Refused("the checkpoints", why, "Give checkpoints of one model")
