"""A bias of zeros is no bias: the exporter computes one for every convolution that has none.

For a 3-D convolution torch 2.13 even computes it with shape (M, 2), which ONNX does not allow.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from bnexport.passes.graphs.contract import GraphPass
from bnexport.passes.graphs.graph import array, is_constant
from bnexport.passes.graphs.traverse import every_node

__all__ = ["DropZeroBias"]


class DropZeroBias(GraphPass):
    """Omit the bias of Conv, ConvTranspose and Gemm where every element is zero."""

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Drop in place."""
        modified = False
        optional = {"Conv", "ConvTranspose"}
        if (model.opset_imports.get("") or 0) >= 11:  # before it a Gemm must have one
            optional.add("Gemm")
        for node in every_node(model.graph):
            if node.domain or node.op_type not in optional:
                continue
            bias = node.inputs[2] if len(node.inputs) > 2 else None
            if bias is not None and is_constant(bias) and not np.any(array(bias)):
                node.resize_inputs(2)
                modified = True
        return ir.passes.PassResult(model, modified)
