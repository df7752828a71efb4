"""Precision: what of the graph computes in half, decided after folding."""

from bnexport.precision.lowering import (
    PRECISIONS,
    Lowered,
    Precision,
    check_precision,
    default_opset,
    lower,
)

__all__ = ["PRECISIONS", "Lowered", "Precision", "check_precision", "default_opset", "lower"]
