"""The kinds of value: an object of TensorRT, by its class, or anything else."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from surface.declared import CLASSES, PLAIN
from surface.model import Name, Surface, has

__all__ = ["UNKNOWN", "Kind", "first", "member_kind", "named"]

# The name of a class stands for the class, an instance, and a container of them. None: not TensorRT's.
Kind = str | None
UNKNOWN = "?"  # TensorRT's, or may be, of a class that is not known

_PLAIN_RESULT = re.compile(
    r"(int|str|bool|float|bytes|None|memoryview|numpy\.ndarray|[Ll]ist|[Tt]uple|\W)+"
)


def named(name: str, kind: Kind) -> Kind:
    """The kind of what is bound to a name: the declared one where nothing better is known."""
    if kind != UNKNOWN:
        return kind
    name = name.lstrip("_")
    return None if name in PLAIN else CLASSES.get(name, UNKNOWN)


def member_kind(surfaces: Sequence[Surface], name: Name) -> Kind:
    """What a member is or returns, by the first release whose signature tells."""
    if name.member.startswith("__"):
        return None
    results = {surface[name.owner][name.member] for surface in surfaces if has(surface, name)}
    classes = {result for result in results if any(result in surface for surface in surfaces)}
    if classes:
        return min(classes)
    told = results - {""}
    return None if told and all(_PLAIN_RESULT.fullmatch(result) for result in told) else UNKNOWN


def first(kinds: Iterable[Kind]) -> Kind:
    """The first that is TensorRT's."""
    return next((kind for kind in kinds if kind is not None), None)
