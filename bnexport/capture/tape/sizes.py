"""A size that depends on the batch: ``scale * n + offset``, for every n from 1.

A recorder that let Python see such a size as a number would bake the batch into the graph. So it is no number: it can
be added, multiplied and handed to torch, and whatever else asks what it is ends the recording.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, NoReturn

import torch

__all__ = ["Size", "Unsure", "alike", "doubts", "known", "size_between"]

_DOUBTS: ContextVar[list[str] | None] = ContextVar("bnexport_doubts", default=None)


class Unsure(Exception):
    """The recording cannot be trusted, or not be translated; the message says why."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        found = _DOUBTS.get()
        if found is not None:
            found.append(why)


@contextmanager
def doubts() -> Iterator[list[str]]:
    """All that is doubted inside the block: a module may catch what is raised and go on another way."""
    found: list[str] = []
    token = _DOUBTS.set(found)
    try:
        yield found
    finally:
        _DOUBTS.reset(token)


class Size(torch.SymInt):
    """``scale * n + offset``; torch's own argument parser takes it for an integer that is not to be looked at."""

    def __init__(self, scale: int, offset: int, batch: int) -> None:
        self.scale, self.offset, self.batch = scale, offset, batch

    @property
    def value(self) -> int:
        """What it is at the batch size of the recording."""
        return self.scale * self.batch + self.offset

    def at(self, batch: int) -> int:
        """What it is at another batch size."""
        return self.scale * batch + self.offset

    def _new(self, scale: int, offset: int) -> Any:
        return Size(scale, offset, self.batch) if scale else offset

    def _pair(self, other: Any) -> tuple[int, int]:
        if isinstance(other, Size):
            return other.scale, other.offset
        if type(other) is int or isinstance(other, bool):
            return 0, int(other)
        raise Unsure("it computes with the batch size what is no whole number")

    def __add__(self, other: Any) -> Any:
        scale, offset = self._pair(other)
        return self._new(self.scale + scale, self.offset + offset)

    def __sub__(self, other: Any) -> Any:
        scale, offset = self._pair(other)
        return self._new(self.scale - scale, self.offset - offset)

    def __rsub__(self, other: Any) -> Any:
        scale, offset = self._pair(other)
        return self._new(scale - self.scale, offset - self.offset)

    def __mul__(self, other: Any) -> Any:
        scale, offset = self._pair(other)
        if scale:
            raise Unsure("it multiplies the batch size by itself")
        return self._new(self.scale * offset, self.offset * offset)

    def __neg__(self) -> Any:
        return self._new(-self.scale, -self.offset)

    def __pos__(self) -> Any:
        return self

    def __floordiv__(self, other: Any) -> Any:
        scale, offset = self._pair(other)
        if scale and (self.scale, self.offset) == (scale, offset):
            return 1
        if scale and not offset and not self.offset and not self.scale % scale:
            return self.scale // scale
        if scale or not offset or self.scale % offset:
            raise Unsure("it divides the batch size")
        return self._new(self.scale // offset, self.offset // offset)

    def __mod__(self, other: Any) -> Any:
        scale, offset = self._pair(other)
        if scale or not offset or self.scale % offset:
            raise Unsure("it takes a remainder of the batch size")
        return self.offset % offset

    __radd__, __rmul__ = __add__, __mul__

    def _sign(self, other: Any) -> int:
        """Of the difference, where it is the same for every batch size from 1."""
        if other is None or isinstance(other, str):
            return 2
        scale, offset = self._pair(other)
        scale, offset = self.scale - scale, self.offset - offset
        first = scale + offset  # at a batch of one
        if not scale:
            return (offset > 0) - (offset < 0)
        if first and (first > 0) == (scale > 0):
            return 1 if scale > 0 else -1
        raise Unsure("it branches on the batch size")

    def _at_least(self, other: Any) -> bool:
        scale, offset = self._pair(other)
        scale, offset = self.scale - scale, self.offset - offset
        if scale >= 0 and scale + offset >= 0:
            return True
        if scale <= 0 and scale + offset < 0:
            return False
        raise Unsure("it branches on the batch size")

    def __eq__(self, other: object) -> Any:
        return self._sign(other) == 0

    def __ne__(self, other: object) -> Any:
        return self._sign(other) != 0

    def __lt__(self, other: Any) -> Any:
        return not self._at_least(other)

    def __ge__(self, other: Any) -> Any:
        return self._at_least(other)

    def __gt__(self, other: Any) -> Any:
        return self._at_least(other + 1)

    def __le__(self, other: Any) -> Any:
        return not self._at_least(other + 1)

    def __bool__(self) -> bool:
        return bool(self != 0)

    def _leaks(self, *_: Any) -> NoReturn:
        raise Unsure("Python code reads the batch size as a number")

    __index__ = __int__ = __float__ = __hash__ = __repr__ = _leaks
    __truediv__ = __rtruediv__ = __rfloordiv__ = __rmod__ = __pow__ = __rpow__ = _leaks
    __and__ = __or__ = __xor__ = __lshift__ = __rshift__ = __round__ = __format__ = _leaks
    __trunc__ = __floor__ = __ceil__ = __abs__ = __divmod__ = __str__ = _leaks


def size_between(first: int, second: int, batches: tuple[int, int]) -> int | Size:
    """A size by what it was at two batch sizes: fixed, or a multiple of the batch.

    Raises:
        Unsure: It is neither.
    """
    if first == second:
        return second
    a, b = batches
    if first % a or first // a * b != second:
        raise Unsure(f"a size is {first} at batch {a} and {second} at batch {b}")
    return Size(first // a, 0, b)


def known(value: Any) -> Any:
    """Arguments as torch may have them: every size as the number that it is at this batch size."""
    if isinstance(value, Size):
        return value.value
    if isinstance(value, torch.Size):
        return torch.Size([known(each) for each in value])
    if isinstance(value, slice):
        return slice(known(value.start), known(value.stop), known(value.step))
    if type(value) in (list, tuple):
        return type(value)(known(each) for each in value)
    if type(value) is dict:
        return {key: known(each) for key, each in value.items()}
    if isinstance(value, list | tuple) and any(isinstance(each, Size) for each in value):
        raise Unsure(f"it passes the batch size on in a {type(value).__name__}")
    return value


def alike(first: Sequence[Any], second: Sequence[Any]) -> bool:
    """Whether sizes are the same at every batch size; no `Size` is asked to compare itself."""
    return len(first) == len(second) and all(map(_alike, first, second))


def _alike(a: Any, b: Any) -> bool:
    if isinstance(a, Size) and isinstance(b, Size):
        return (a.scale, a.offset) == (b.scale, b.offset)
    return not isinstance(a, Size) and not isinstance(b, Size) and bool(a == b)
