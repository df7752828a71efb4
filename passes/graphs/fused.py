"""Patterns that runtimes run as one operator: a constant folded out of one takes it apart.

    Gelu        0.5 x (1 + erf(x / sqrt(2))), in any order; the same with tanh
    LayerNorm   (x - mean) / sqrt(var + eps) * gamma + beta, with mean and var of x itself

RepViT-M0.9 took 1.14 times the processor time without the 0.5 of its Gelus, which had gone into the
convolutions behind them (ONNX Runtime 1.32.0, batch 8, one thread).
"""

from __future__ import annotations

import onnx_ir as ir

from bnexport.passes.graphs.graph import is_constant, operands

__all__ = ["in_fused"]


def in_fused(node: ir.Node) -> bool:
    """Whether ``node``, an elementwise operator with one constant, is part of such a pattern."""
    values = [value for value in operands(node) if not is_constant(value)]
    halves = node.op_type in ("Mul", "Div") and any(_halves_gelu(node, v) for v in values)
    return halves or any(_ends_norm(node, value) for value in values)


def _halves_gelu(node: ir.Node, value: ir.Value) -> bool:
    if _opens(value) or any(map(_opens, _factors(value))):
        return True  # c * (1 + erf), c * (x * (1 + erf))
    readers = [use.node for use in node.outputs[0].uses()]
    return any(any(map(_opens, _factors(reader.outputs[0]))) for reader in readers)


def _opens(value: ir.Value) -> bool:
    """1 + erf(...), 1 + tanh(...)."""
    return _made_by(value, "Add") and any(_made_by(v, "Erf", "Tanh") for v in _sources(value))


def _factors(value: ir.Value) -> list[ir.Value]:
    return _sources(value) if _made_by(value, "Mul") else []


def _ends_norm(node: ir.Node, value: ir.Value) -> bool:
    """The gamma, or the beta behind it."""
    if node.op_type == "Mul":
        return _is_normalised(value)
    return node.op_type == "Add" and any(map(_is_normalised, _factors(value)))


def _is_normalised(value: ir.Value) -> bool:
    if not _made_by(value, "Div") or len(_sources(value)) < 2:
        return False
    centred, deviation = _sources(value)
    return _made_by(centred, "Sub") and _made_by(deviation, "Sqrt")


def _made_by(value: ir.Value, *operators: str) -> bool:
    node = value.producer()
    return node is not None and node.op_type in operators


def _sources(value: ir.Value) -> list[ir.Value]:
    node = value.producer()
    return [] if node is None else [each for each in operands(node) if not is_constant(each)]
