"""The BatchNormalization nodes of an ONNX graph, as layers that the rules can read."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import onnx_ir as ir
import torch
from torch import nn

from bnexport.health.findings.catalogue import RULES
from bnexport.health.findings.diagnose import diagnose_norms
from bnexport.health.findings.finding import Finding
from bnexport.health.findings.norm import Norm
from bnexport.passes.graphs import module_of
from bnexport.passes.graphs.traverse import every_node

__all__ = ["diagnose_graph", "graph_norms"]

_TENSORS = ("weight", "bias", "running_mean", "running_var")
_EPS = 1e-5  # the operator's default


def diagnose_graph(model: ir.Model) -> tuple[Finding, ...]:
    """What is questionable about the BatchNormalization nodes of a graph; the gravest first."""
    norms, live = [], []
    for node in _nodes(model):
        norm = _norm(node)
        if norm.mean is not None and norm.var is not None:  # else they are computed, or inputs
            norms.append(norm)
        if node.attributes.get_int("training_mode", 0):
            what = "training_mode is 1: the file normalises by the batch"
            live.append(RULES["BNX102"].at(norm.name, what))
    return diagnose_norms(norms, live)


def graph_norms(model: ir.Model) -> tuple[Norm, ...]:
    """Every BatchNormalization node; a tensor that is computed, or an input, is none."""
    return tuple(map(_norm, _nodes(model)))


def _nodes(model: ir.Model) -> Iterator[ir.Node]:
    for node in every_node(model.graph):
        if node.op_type == "BatchNormalization" and node.domain in ("", "ai.onnx"):
            yield node


def _norm(node: ir.Node) -> Norm:
    layer = nn.Module().eval()
    for name, value in zip(_TENSORS, node.inputs[1:], strict=False):
        layer.register_buffer(name, _tensor(value))
    layer.eps = node.attributes.get_float("epsilon", _EPS)  # type: ignore[assignment]
    name = module_of(node) or node.name or (node.outputs[0].name or "BatchNormalization")
    return Norm((name,), layer)


def _tensor(value: ir.Value | None) -> torch.Tensor | None:
    constant = None if value is None else ir.convenience.get_const_tensor(value)
    if constant is None:
        return None
    array = constant.numpy()
    # bfloat16 and the like are no dtypes of NumPy's own.
    return torch.tensor(array if array.dtype.kind == "f" else array.astype(np.float32))
