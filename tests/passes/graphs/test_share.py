"""Equal weights become one, those that are folded when they are written, too."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from bnexport.passes.graphs.scaled import scaled
from bnexport.passes.graphs.share import ShareInitializers


def model(tensors) -> ir.Model:
    x = ir.val("x", ir.DataType.FLOAT, (1, 64, 8, 8))
    values = [ir.val(f"w{i}", const_value=tensor) for i, tensor in enumerate(tensors)]
    nodes = [ir.node("Conv", [x, value], name=str(i)) for i, value in enumerate(values)]
    graph = ir.Graph(
        [x],
        [node.outputs[0] for node in nodes],
        nodes=nodes,
        initializers=values,
        opset_imports={"": 20},
    )
    return ir.Model(graph, ir_version=10)


def count(tensors) -> int:
    made = model(tensors)
    ShareInitializers()(made)
    return len(made.graph.initializers)


BASE = ir.val(
    "w",
    const_value=ir.tensor(
        np.random.default_rng(0).standard_normal((64, 64, 3, 3)).astype(np.float32)
    ),
)
ONE, TWO = (np.full((64, 1, 1, 1), factor) for factor in (0.5, 2.0))


def test_equal_ones_are_shared():
    a, b = (np.ones((64, 64, 3, 3), np.float32) * n for n in (1, 2))
    assert count([ir.tensor(a), ir.tensor(a.copy()), ir.tensor(b)]) == 2


def test_a_weight_that_is_folded_alike_is_written_once():
    assert count([scaled(BASE, ONE).tensor(f"w{i}") for i in range(3)]) == 1


def test_one_that_is_folded_otherwise_is_not():
    assert count([scaled(BASE, factor).tensor(f"w{i}") for i, factor in enumerate((ONE, TWO))]) == 2
