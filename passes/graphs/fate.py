"""The fate of an affine node, as the passes tell it; the ledger has one row a module."""

from __future__ import annotations

from dataclasses import dataclass

import onnx_ir as ir

from bnexport.metadata import ORIGIN
from bnexport.passes.graphs.naming import kind_of, module_of

__all__ = ["Fate", "fate_of", "place_of"]


@dataclass(frozen=True)
class Fate:
    """What became of one affine node: ``absorbed``, ``reduced``, ``merged`` or ``kept``; into what, or why not."""

    value: str
    module: str
    kind: str
    operator: str
    fate: str
    into: str = ""
    reason: str = ""


def fate_of(node: ir.Node, fate: str, into: str = "", reason: str = "") -> Fate:
    """The fate of ``node``, or of the BatchNormalization of which it is what is left."""
    value, operator = node.outputs[0].name or "", node.op_type
    if ORIGIN in node.metadata_props:
        value, operator = node.metadata_props[ORIGIN], "BatchNormalization"
    return Fate(value, module_of(node), kind_of(node), operator, fate, into, reason)


def place_of(node: ir.Node) -> str:
    """The node, as a user knows it: by its module, or by what it computes."""
    return module_of(node) or node.outputs[0].name or node.op_type
