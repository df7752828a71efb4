"""Where each node stands in the graph, as long as no node comes in between."""

from __future__ import annotations

from typing import NoReturn

import onnx_ir as ir

from bnexport.passes.graphs.traverse import every_node

__all__ = ["Places", "Unplaced"]


class Unplaced(Exception):
    """A node that was not there when the places were taken."""


class Places(dict[ir.Node, int]):
    """Every node's place. That nodes disappear leaves the others' order as it is.

    Attributes:
        seen: The nodes whose places were asked for.
    """

    def __init__(self, model: ir.Model) -> None:
        super().__init__()
        self.seen: set[ir.Node] = set()
        self.renew(model)

    def __getitem__(self, node: ir.Node) -> int:
        self.seen.add(node)
        return super().__getitem__(node)

    def renew(self, model: ir.Model) -> None:
        """Take the places anew."""
        self.clear()
        nodes = every_node(model.graph)
        self.update((node, place) for place, node in enumerate(nodes))

    def __missing__(self, node: ir.Node) -> NoReturn:
        raise Unplaced
