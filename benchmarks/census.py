"""What is in an ONNX file, counted from outside: by operators and constants alone, with no code of bnexport."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from onnx import numpy_helper

__all__ = ["Census", "census", "program"]

CONV_LIKE = ("Conv", "ConvTranspose", "FusedConv", "NhwcFusedConv")
ELEMENTWISE = ("Mul", "Add", "Sub", "Div")
MATRIX = ("MatMul", "FusedMatMul", "Gemm", "Einsum")


@dataclass(frozen=True)
class Census:
    """Counts of one file.

    Attributes:
        nodes: All nodes of the main graph.
        batch_norms: BatchNormalization.
        constants: Mul, Add, Sub and Div by a constant that varies along one axis: what is left of a
            per-channel affine. The bias of a MatMul is none, and neither is a number or an array over positions.
        convs: Conv, ConvTranspose, and what ONNX Runtime makes of them.
    """

    nodes: int
    batch_norms: int
    constants: int
    convs: int


def census(path: Path) -> Census:
    """Count."""
    graph = onnx.load(path).graph
    constants = {each.name: numpy_helper.to_array(each) for each in graph.initializer}
    for node in graph.node:
        if node.op_type == "Constant" and node.attribute[0].name == "value":
            constants[node.output[0]] = numpy_helper.to_array(node.attribute[0].t)
    producers = {output: node.op_type for node in graph.node for output in node.output}
    return Census(
        nodes=sum(node.op_type != "Constant" for node in graph.node),
        batch_norms=sum(node.op_type == "BatchNormalization" for node in graph.node),
        constants=sum(_is_affine(node, constants, producers) for node in graph.node),
        convs=sum(node.op_type in CONV_LIKE for node in graph.node),
    )


def _is_affine(
    node: onnx.NodeProto, constants: dict[str, np.ndarray], producers: dict[str, str]
) -> bool:
    if node.op_type not in ELEMENTWISE or node.domain not in ("", "ai.onnx"):
        return False
    known = [name for name in node.input if name in constants]
    others = [name for name in node.input if name not in constants]
    if len(known) != 1 or len(others) != 1:
        return False
    numbers = constants[known[0]]
    bias = node.op_type == "Add" and producers.get(others[0]) in MATRIX and numbers.ndim <= 1
    floating = bool(np.issubdtype(numbers.dtype, np.floating))
    return floating and not bias and numbers.size > 1 and numbers.size == max(numbers.shape)


def program(path: Path) -> str:
    """The operators of a file in order, with their attributes and the shapes of their constants; no names."""
    graph = onnx.load(path).graph
    places = {value.name: f"input {index}" for index, value in enumerate(graph.input)}
    places |= {each.name: f"constant {list(each.dims)}" for each in graph.initializer}
    lines = []
    for index, node in enumerate(graph.node):
        attributes = sorted(str(attribute) for attribute in node.attribute)
        read = [places.get(name, "") for name in node.input]
        lines.append(f"{node.domain} {node.op_type} {read} {attributes}")
        places |= {name: f"{index}.{out}" for out, name in enumerate(node.output)}
    return "\n".join(lines)
