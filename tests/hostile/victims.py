"""Classes as users have them, whose methods would run when a pickle is believed: each makes the canary it is given."""

from __future__ import annotations

import collections
import enum
from pathlib import Path
from typing import Any, NamedTuple

from torch import nn

__all__: list[str] = []


def fire(canary: object) -> None:
    if isinstance(canary, str):
        Path(canary).touch()


def function(canary: str) -> str:
    fire(canary)
    return canary


class SetsState:
    def __setstate__(self, state: dict[str, Any]) -> None:
        fire(state["canary"])


class ModuleSetsState(nn.Module):
    def __setstate__(self, state: dict[str, Any]) -> None:
        fire(state["canary"])


class Constructed:
    def __init__(self, canary: str = "") -> None:
        fire(canary)


class Allocated:
    def __new__(cls, canary: str = "") -> Any:
        fire(canary)
        return super().__new__(cls)


class SetsAttributes:
    def __setattr__(self, name: str, value: object) -> None:
        fire(value)


class ModuleSetsAttributes(nn.Module):
    def __setattr__(self, name: str, value: object) -> None:
        fire(value)
        super().__setattr__(name, value)


class Property:
    @property
    def canary(self) -> str:
        return ""

    @canary.setter
    def canary(self, value: str) -> None:
        fire(value)


class Descriptor:
    class Field:
        def __set__(self, instance: object, value: str) -> None:
            fire(value)

    canary = Field()


class Slots:
    __slots__ = ("canary",)

    def __setattr__(self, name: str, value: object) -> None:
        fire(value)


class Table(dict):  # type: ignore[type-arg]
    def __setitem__(self, key: object, value: object) -> None:
        fire(value)


class Ordered(collections.OrderedDict):  # type: ignore[type-arg]
    def __setitem__(self, key: object, value: object) -> None:
        fire(value)


class Row(list):  # type: ignore[type-arg]
    def append(self, value: object) -> None:
        fire(value)

    def extend(self, values: Any) -> None:
        for value in values:
            fire(value)


class Bag(set):  # type: ignore[type-arg]
    def __init__(self, values: Any = ()) -> None:
        for value in values:
            fire(value)


class Mode(enum.Enum):
    ONE = "one"

    @classmethod
    def _missing_(cls, value: object) -> Mode:
        fire(value)
        return cls.ONE


class Pair(NamedTuple):
    canary: str
    more: int


class Firing(Pair):
    def __new__(cls, canary: str, more: int) -> Any:
        fire(canary)
        return super().__new__(cls, canary, more)


class Meta(type):
    def __call__(cls, *given: Any) -> Any:
        fire(given[0] if given else None)
        return super().__call__()


class Made(metaclass=Meta):
    pass


class Hashed:
    canary = ""

    def __hash__(self) -> int:
        fire(self.canary)
        return 1

    def __eq__(self, other: object) -> bool:
        fire(self.canary)
        return False


class Text(str):
    def __new__(cls, canary: str = "") -> Any:
        fire(canary)
        return super().__new__(cls, canary)


class Overridden(nn.Module):
    def register_parameter(self, name: str, param: Any) -> None:
        fire(name)

    def add_module(self, name: str, module: Any) -> None:
        fire(name)

    def forward(self, x: Any) -> Any:
        return x
