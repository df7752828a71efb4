"""A tape: the calls of one run, and what is asked of their arguments."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from bnexport.capture.tape.sizes import Size

__all__ = ["Call", "Ref", "Tape", "has_size", "leaves", "refs_in", "same"]


@dataclass(frozen=True)
class Ref:
    """A tensor of the recording, by its number."""

    number: int


@dataclass(frozen=True)
class Call:
    """One call.

    Attributes:
        name: Of the function, one name for all its spellings.
        args: With a `Ref` for each tensor.
        kwargs: The same.
        outputs: The tensors that it returned.
        module: The qualified name of the module that called it.
        kind: The class of that module.
    """

    name: str
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    outputs: tuple[Ref, ...]
    module: str
    kind: str


@dataclass
class Tape:
    """What one run came to.

    Attributes:
        batch: Its batch size.
        token: What its tensors are marked with.
        inputs: The tensors given, in order.
        outputs: Those returned, in order.
        calls: In the order of the run, those on constants alone among them.
        shapes: Of every tensor that a call made, and of the inputs.
        dtypes: The same.
        constants: Tensors that do not depend on the inputs.
        names: Of the constants that the module holds.
        results: What the run returned.
    """

    batch: int
    token: object
    inputs: tuple[Ref, ...] = ()
    outputs: tuple[Ref, ...] = ()
    calls: list[Call] = field(default_factory=list)
    shapes: dict[int, tuple[Any, ...]] = field(default_factory=dict)
    dtypes: dict[int, torch.dtype] = field(default_factory=dict)
    constants: dict[int, Tensor] = field(default_factory=dict)
    names: dict[int, str] = field(default_factory=dict)
    results: tuple[Tensor, ...] = ()


def same(here: Any, there: Any, batch: int) -> bool:
    """Whether arguments are those of the witness, each size as it is at its batch size."""
    if isinstance(here, Size):
        return type(there) is int and here.at(batch) == there
    if isinstance(here, slice) and isinstance(there, slice):
        return same(
            (here.start, here.stop, here.step), (there.start, there.stop, there.step), batch
        )
    if isinstance(here, tuple) and isinstance(there, tuple):
        return len(here) == len(there) and all(
            same(a, b, batch) for a, b in zip(here, there, strict=True)
        )
    if isinstance(here, dict) and isinstance(there, dict):
        return here.keys() == there.keys() and all(same(here[k], there[k], batch) for k in here)
    return type(here) is type(there) and (here is there or bool(here == there) or here != here)


def leaves(value: Any) -> Iterator[Tensor]:
    """The tensors among arguments, before they are recorded."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, list | tuple):
        for item in value:
            yield from leaves(item)
    elif isinstance(value, dict):
        for item in value.values():
            yield from leaves(item)
    elif isinstance(value, slice):
        yield from leaves((value.start, value.stop, value.step))


def refs_in(value: Any) -> Iterator[Ref]:
    """The tensors among arguments."""
    if isinstance(value, Ref):
        yield value
    elif isinstance(value, tuple):
        for item in value:
            yield from refs_in(item)
    elif isinstance(value, dict):
        yield from refs_in(tuple(value.values()))
    elif isinstance(value, slice):
        yield from refs_in((value.start, value.stop, value.step))


def has_size(value: Any) -> bool:
    """Whether an argument depends on the batch."""
    if isinstance(value, Size):
        return True
    if isinstance(value, tuple):
        return any(map(has_size, value))
    if isinstance(value, dict):
        return has_size(tuple(value.values()))
    return isinstance(value, slice) and has_size((value.start, value.stop, value.step))
