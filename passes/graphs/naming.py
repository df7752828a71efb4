"""Names: the module that a node came from, kept across passes, and names that no value bears yet."""

from __future__ import annotations

import ast

import onnx_ir as ir

from bnexport.metadata import CLASSES, KIND, MODULE, ORIGIN, SCOPES
from bnexport.passes.graphs.traverse import every_node, may_hold

__all__ = [
    "Names",
    "adopt_names",
    "kind_of",
    "module_of",
    "stamp",
    "unstamp",
]


class Names:
    """Every name in use in a model; subgraphs share one name space with the graph around them."""

    def __init__(self, graph: ir.Graph) -> None:
        self._taken = {value.name for value in graph.inputs} | set(graph.initializers)
        for node in every_node(graph):
            self._taken.update([value.name for value in node.outputs])
            for attribute in node.attributes.values() if may_hold(node) else ():
                if attribute.type == ir.AttributeType.GRAPH:
                    inner = attribute.as_graph()
                    self._taken |= {value.name for value in inner.inputs} | set(inner.initializers)

    def fresh(self, wanted: str) -> str:
        """``wanted``, or it with a number where that name is taken; taken from now on."""
        name, count = wanted, 1
        while name in self._taken:
            name, count = f"{wanted}_{count}", count + 1
        self._taken.add(name)
        return name


def module_of(node: ir.Node) -> str:
    """The qualified name of the module that the node came from; empty where none is known."""
    return node.metadata_props.get(MODULE, "")


def kind_of(node: ir.Node) -> str:
    """The class of that module; empty where none is known."""
    return node.metadata_props.get(KIND, "")


def stamp(model: ir.Model) -> None:
    """Mark each BatchNormalization by its result: names of values move as nodes disappear.

    What takes its place in part bears the mark on.
    """
    for node in every_node(model.graph):
        if node.op_type == "BatchNormalization" and not node.domain:
            node.metadata_props[ORIGIN] = node.outputs[0].name or ""


def unstamp(model: ir.Model) -> None:
    """Take the marks away."""
    for node in every_node(model.graph):
        node.metadata_props.pop(ORIGIN, None)


def adopt_names(model: ir.Model, prefix: str) -> None:
    """Name initializers and nodes' origins as the module does, without the wrapper's ``prefix``.

    The exporter's own records hold stack traces with the paths of the user's machine: they go.
    """
    for node in every_node(model.graph):
        scopes = _parse(node.metadata_props.get(SCOPES))
        classes = _parse(node.metadata_props.get(CLASSES))
        node.metadata_props.clear()
        node.doc_string = None
        if len(scopes) > 1:  # the last scope is the operator itself
            node.metadata_props[MODULE] = _without(scopes[-2], prefix)
        if len(classes) > 1:
            node.metadata_props[KIND] = classes[-2].rpartition(".")[2]
    names = Names(model.graph)
    for name, value in list(model.graph.initializers.items()):
        if name.startswith(f"{prefix}."):
            value.name = names.fresh(_without(name, prefix))
    for node in every_node(model.graph):
        _name_after_weights(node)
    for value in (*model.graph.inputs, *model.graph.outputs):
        value.metadata_props.clear()
    model.metadata_props.clear()
    model.graph.metadata_props.clear()


def _name_after_weights(node: ir.Node) -> None:
    """A traced program has lost its modules; its weights still bear their names."""
    if module_of(node):
        return
    owners = [v.name.rpartition(".")[0] for v in node.inputs if v and v.name and v.is_initializer()]
    if any(owners):
        node.metadata_props[MODULE] = next(filter(None, owners))
        node.metadata_props[KIND] = node.op_type


def _without(name: str, prefix: str) -> str:
    return "" if name == prefix else name.removeprefix(f"{prefix}.")


def _parse(text: str | None) -> list[str]:
    return list(ast.literal_eval(text)) if text else []
