"""What a module keeps in its attributes from one call to the next: seen, compared, and put back.

The weights themselves are no part of it: a recording ends where one is written to.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["State", "same_state"]

_DEEPEST = 3
_SIMPLE = (bool, int, float, complex, str, bytes, type(None), torch.dtype, torch.device)
_Place = tuple[int, str]


class State:
    """The attributes of every layer, as they are when this is made.

    Args:
        module: Its layers.
    """

    def __init__(self, module: nn.Module) -> None:
        self._layers = [(layer, dict(vars(layer))) for layer in module.modules()]
        self._containers: list[tuple[Any, Any]] = []
        for _, attributes in self._layers:
            for value in attributes.values():
                self._note(value, _DEEPEST)

    def _note(self, value: Any, depth: int) -> None:
        if depth and isinstance(value, dict | list):
            self._containers.append((value, value.copy()))
            for item in value.values() if isinstance(value, dict) else value:
                self._note(item, depth - 1)

    def kept(self) -> dict[_Place, Any]:
        """The attributes that are not what they were."""
        found: dict[_Place, Any] = {}
        for number, (layer, before) in enumerate(self._layers):
            for key, value in vars(layer).items():
                if key not in before or before[key] is not value:
                    found[number, key] = value
        for number, (container, before) in enumerate(self._containers):
            if len(container) != len(before) or any(
                a is not b for a, b in zip(_items(container), _items(before), strict=True)
            ):
                found[number, ""] = container.copy()
        return found

    def restore(self) -> None:
        """Put all of them back."""
        for layer, before in self._layers:
            if any(vars(layer).get(key, self) is not value for key, value in before.items()) or (
                len(vars(layer)) != len(before)
            ):
                vars(layer).clear()
                vars(layer).update(before)
        for container, before in self._containers:
            container.clear()
            container.update(before) if isinstance(container, dict) else container.extend(before)


def _items(container: Any) -> list[Any]:
    if isinstance(container, dict):
        return [*container.keys(), *container.values()]
    return list(container)


def same_state(a: Any, b: Any) -> bool:
    """Whether two values are equal, by a comparison that is sure; what is of a class of its own is not."""
    if type(a) is not type(b):
        return False
    if isinstance(a, Tensor):
        return (
            a.dtype == b.dtype
            and a.shape == b.shape
            and (bool(torch.equal(a, b)) or bool(torch.allclose(a, b, 0, 0, equal_nan=True)))
        )
    if isinstance(a, dict):
        return list(a) == list(b) and all(same_state(a[key], b[key]) for key in a)
    if type(a) in (list, tuple):
        return len(a) == len(b) and all(map(same_state, a, b))
    return isinstance(a, _SIMPLE) and bool(a == b)
