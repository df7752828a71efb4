"""Sizes, numbers and types, on either side of a translation."""

from __future__ import annotations

from typing import Any

import onnx_ir as ir
import torch

__all__ = ["DTYPES", "Number", "Sizes"]

Sizes = tuple[Any, ...]
Number = int | float | bool

DTYPES = {
    torch.float32: ir.DataType.FLOAT,
    torch.float64: ir.DataType.DOUBLE,
    torch.float16: ir.DataType.FLOAT16,
    torch.bfloat16: ir.DataType.BFLOAT16,
    torch.int64: ir.DataType.INT64,
    torch.int32: ir.DataType.INT32,
    torch.int16: ir.DataType.INT16,
    torch.int8: ir.DataType.INT8,
    torch.uint8: ir.DataType.UINT8,
    torch.bool: ir.DataType.BOOL,
}
