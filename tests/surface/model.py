"""What the reading of the source and the comparison with the bindings hand to one another."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

__all__ = ["Findings", "Guard", "Guards", "Name", "Surface", "Use", "has"]

Surface = Mapping[str, Mapping[str, str]]


class Name(NamedTuple):
    """A member of a class, or of the bindings themselves (`declared.MODULE`)."""

    owner: str
    member: str

    def __str__(self) -> str:
        return f"{self.owner}.{self.member}"


class Guard(NamedTuple):
    """What ``hasattr`` found on the way to a use: that a name is there, or that it is not."""

    name: Name
    present: bool


Guards = frozenset[Guard]


@dataclass(frozen=True)
class Use:
    """A name that has to be there wherever its guards hold.

    Attributes:
        name: The name.
        guards: Without any it has to be in every release.
        place: ``builder.py:81``.
    """

    name: Name
    guards: Guards
    place: str


@dataclass(frozen=True)
class Findings:
    """What a source uses.

    Attributes:
        uses: Every place where a name is used.
        optional: Names that are asked for before they are used, or spelled as text.
        faults: What cannot be checked, and what to do about it, a line each.
    """

    uses: frozenset[Use]
    optional: frozenset[Name]
    faults: tuple[str, ...]


def has(surface: Surface, name: Name) -> bool:
    """Whether a release has a name."""
    return name.member in surface.get(name.owner, {})
