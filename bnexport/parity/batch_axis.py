"""Follow the samples of a batch through a graph, and name each operator that mixes them.

A run can only show that outputs moved. The graph says where: every value holds the samples along one axis, each
in so many consecutive places, and an operator that reduces, normalises or multiplies over that axis mixes them.
What cannot be followed is left alone: to say nothing is no verdict, the runs give that.
"""

from __future__ import annotations

from dataclasses import dataclass

import onnx_ir as ir

from bnexport.metadata import MODULE
from bnexport.parity.batch_rules import LOST, RULES, Mixed, Place, Samples

__all__ = ["Mixing", "mixing"]


@dataclass(frozen=True)
class Mixing:
    """An operator that mixes samples.

    Attributes:
        operator: ``ReduceMean``.
        value: The name of its first output.
        layer: The qualified name of the module that it was exported from; empty where that is not known.
        what: ``reduces over the batch axis``.
    """

    operator: str
    value: str
    layer: str
    what: str

    def __str__(self) -> str:
        where = f"layer {self.layer!r}" if self.layer else f"value {self.value!r}"
        return f"{self.operator} in {where} {self.what}"


def mixing(model: ir.Model) -> list[Mixing]:
    """Every operator of the graph that is seen to mix samples, in order.

    Args:
        model: With inferred shapes. The batch is the first axis of each input, where that is free.
    """
    places: dict[ir.Value, Place] = {value: _start(value) for value in model.graph.inputs}
    found = []
    for node in model.graph:
        given = [places.get(value) if value is not None else None for value in node.inputs]
        results = _outputs(node, given)
        if isinstance(results, Mixed):
            layer = node.metadata_props.get(MODULE, "")
            found.append(Mixing(node.op_type, node.outputs[0].name or "", layer, results.what))
            results = [results.then] * len(node.outputs)
        places.update(zip(node.outputs, results, strict=True))
    return found


def _start(value: ir.Value) -> Place:
    """A file of a fixed batch has no batch axis to follow."""
    free = value.shape is not None and len(value.shape) > 0 and not isinstance(value.shape[0], int)
    return Samples(0) if free else None


def _outputs(node: ir.Node, given: list[Place]) -> list[Place] | Mixed:
    count = len(node.outputs)
    if not any(given):
        return [None] * count
    if any(place is LOST for place in given):
        return [LOST] * count
    rule = RULES.get(node.op_type) if node.domain in ("", "ai.onnx") else None
    result = rule(node, given) if rule else LOST
    if isinstance(result, Mixed):
        return result
    return result if isinstance(result, list) else [result] * count
