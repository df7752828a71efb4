"""What was tried in vain: until something changes on which it depended, it need not be tried again.

An attempt depends on the nodes that it asked for their place, and on who stands next to them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

import onnx_ir as ir

__all__ = ["InVain", "Tried", "around"]


@dataclass(frozen=True)
class InVain:
    """An affine that found no way.

    Attributes:
        back: What is in the way back.
        onward: What is in the way forward.
        partly: Whether what costs something was tried, too.
    """

    back: str
    onward: str
    partly: bool


class Tried:
    """The attempts in vain, by the node whose affine it was."""

    def __init__(self) -> None:
        self._known: dict[ir.Node, InVain] = {}
        self._seen: dict[ir.Node, set[ir.Node]] = {}
        self._by: defaultdict[ir.Node, set[ir.Node]] = defaultdict(set)

    def of(self, node: ir.Node) -> InVain | None:
        """What came of the last attempt, if nothing has changed since."""
        return self._known.get(node)

    def add(self, node: ir.Node, found: InVain, seen: Iterable[ir.Node]) -> None:
        """Remember an attempt, and the nodes that it looked at."""
        every = {node, *seen} | self._seen.get(node, set())
        self._known[node], self._seen[node] = found, every
        for each in every:
            self._by[each].add(node)

    def changed(self, nodes: Iterable[ir.Node]) -> None:
        """Forget the attempts that looked at one of these."""
        for each in nodes:
            for node in self._by.pop(each, ()):
                self._known.pop(node, None)
                self._seen.pop(node, None)

    def forget(self) -> None:
        """Forget all of them: the graph has changed anywhere."""
        self._known.clear()
        self._seen.clear()
        self._by.clear()


def around(nodes: Iterable[ir.Node]) -> set[ir.Node]:
    """The nodes, what they read and who reads them."""
    found = set(nodes)
    for node in tuple(found):
        producers = (value.producer() for value in node.inputs if value is not None)
        found |= {each for each in producers if each is not None}
        found |= {use.node for output in node.outputs for use in output.uses()}
    return found
