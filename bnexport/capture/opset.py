"""The ONNX opset that is written unless another is asked for."""

from __future__ import annotations

__all__ = ["DEFAULT_OPSET"]

DEFAULT_OPSET = 20  # the first with Gelu, which runtimes run faster than what 18 has in its place
