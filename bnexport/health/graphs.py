"""Batch statistics that are written into the graph of an exported program."""

from __future__ import annotations

import torch
from torch import nn

from bnexport.health.problem import Problem

__all__ = ["BATCH_REMEDY", "RANDOM_REMEDY", "asks_for_batch", "graph_problems", "is_suspect"]

BATCH_REMEDY = (
    "Export or script the model in eval mode; where the forward says training=True, write "
    "training=self.training and keep running statistics"
)
RANDOM_REMEDY = "Where the forward says training=True, write training=self.training"


def graph_problems(module: nn.Module) -> list[Problem]:
    """The batch-normalising nodes of an exported program that ask for batch statistics."""
    graph = getattr(module, "graph", None)
    if not isinstance(module, torch.fx.GraphModule) or not isinstance(graph, torch.fx.Graph):
        return []
    return [
        Problem(_place(node), "it normalises by the batch (training=True)", BATCH_REMEDY)
        for node in graph.nodes
        if asks_for_batch(node.target, node.args, node.kwargs) and _mixes(node)
    ]


def is_suspect(graph: torch.fx.Graph) -> bool:
    """Whether a graph as torch.export makes them may draw random numbers or take statistics over the batch.

    So may what holds a graph of its own, and operators that are not ATen's.
    """
    for node in graph.nodes:
        if node.op == "get_attr":
            return True
        if node.op == "call_function" and _is_suspect(node.target, node.args, node.kwargs):
            return True
    return False


def _is_suspect(operator: object, args: tuple[object, ...], kwargs: dict[str, object]) -> bool:
    if not isinstance(operator, torch._ops.OpOverload):
        return getattr(operator, "__module__", "") != "_operator"
    if operator.namespace not in ("aten", "prims") or asks_for_batch(operator, args, kwargs):
        return True
    if torch.Tag.nondeterministic_seeded not in operator.tags:
        return False
    given = _given(operator, args, kwargs)
    switch = next((name for name in ("train", "training", "dropout_p") if name in given), None)
    return switch is None or bool(given[switch])


def _given(
    operator: torch._ops.OpOverload, args: tuple[object, ...], kwargs: dict[str, object]
) -> dict[str, object]:
    """The arguments by name, those left out among them where they have a default."""
    schema = operator._schema.arguments
    defaults = {each.name: each.default_value for each in schema if each.has_default_value()}
    names = (each.name for each in schema)
    return {**defaults, **dict(zip(names, args, strict=False)), **kwargs}


def asks_for_batch(operator: object, args: tuple[object, ...], kwargs: dict[str, object]) -> bool:
    """Whether an aten call is a batch normalisation by the batch's own statistics."""
    if not isinstance(operator, torch._ops.OpOverload):
        return False
    name = str(operator)
    if "batch_norm" not in name or "backward" in name or "no_training" in name:
        return False
    given = _given(operator, args, kwargs)
    if "training" in given or "train" in given:
        return bool(given.get("training", given.get("train")))
    # The one operator that has no flag and always takes the batch's statistics.
    return "with_update" in name


def _mixes(node: torch.fx.Node) -> bool:
    """Whether the node reads samples, and not a weight or an InstanceNorm's view of one row."""
    first = node.args[0]
    if not isinstance(first, torch.fx.Node):
        return False
    value = first.meta.get("val")
    has_statistics = len(node.args) > 4 and isinstance(node.args[3], torch.fx.Node)
    if isinstance(value, torch.Tensor) and value.shape[0] == 1 and not has_statistics:
        return False
    return _reads_input(first)


def _reads_input(node: torch.fx.Node) -> bool:
    seen, stack = set[torch.fx.Node](), [node]
    while stack:
        each = stack.pop()
        if each.op == "placeholder":
            return True
        if each not in seen:
            seen.add(each)
            stack.extend(each.all_input_nodes)
    return False


def _place(node: torch.fx.Node) -> str:
    stack = node.meta.get("nn_module_stack") or {}
    names = [str(entry[0]) for entry in stack.values()]
    return names[-1] if names and names[-1] else node.name
