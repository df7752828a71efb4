"""Errors across the boundary: a step's own, told as data by the worker, raised again for the caller."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NoReturn

from bnexport.errors import (
    BnexportError,
    ExportError,
    MissingRuntime,
    NativeFailure,
    OutputError,
    ParityFailure,
    Refused,
    UsageError,
)

__all__ = ["StepError", "raise_again", "told"]

_OURS = {
    kind.__name__: kind
    for kind in (
        *(BnexportError, ExportError, MissingRuntime, NativeFailure),
        *(OutputError, ParityFailure, Refused, UsageError),
    )
}


class StepError(RuntimeError):
    """What a library raised in the worker.

    Attributes:
        kind: The name of its class there.
    """

    def __init__(self, kind: str, text: str) -> None:
        super().__init__(text)
        self.kind = kind


def told(error: BaseException) -> dict[str, Any]:
    """What to say of an error."""
    if isinstance(error, BnexportError):
        parts = [error.what, error.why, error.remedy]
        return {"ours": _root(type(error)), "parts": parts}
    text = str(error) or type(error).__name__
    return {"kind": type(error).__name__, "text": text[:10_000]}


def raise_again(said: Mapping[str, Any]) -> NoReturn:
    """Raise what `told` told of.

    Raises:
        BnexportError: It was one of ours.
        StepError: It was another.
    """
    if "ours" in said:
        kind = _OURS.get(str(said["ours"]), BnexportError)
        raise kind(*[str(part) for part in said["parts"]][:3])
    raise StepError(str(said["kind"]), str(said["text"]))


def _root(kind: type[BaseException]) -> str:
    """The nearest class that the caller knows by name."""
    return next(base.__name__ for base in kind.__mro__ if base.__name__ in _OURS)
