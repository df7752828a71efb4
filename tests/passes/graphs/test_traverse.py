"""Every node is met, those of subgraphs too."""

from __future__ import annotations

import onnx
import onnx_ir as ir
from onnx import TensorProto, helper

from bnexport.passes.graphs.traverse import every_node


def model() -> ir.Model:
    def branch(name: str, operator: str) -> onnx.GraphProto:
        out = helper.make_tensor_value_info(name, TensorProto.FLOAT, None)
        inner = helper.make_node(operator, ["x"], [f"{name}_0"])
        held = helper.make_node(
            "If", ["c"], [name], then_branch=leaf(name, "t"), else_branch=leaf(name, "e")
        )
        return helper.make_graph([inner, held], name, [], [out])

    def leaf(name: str, suffix: str) -> onnx.GraphProto:
        out = helper.make_tensor_value_info(f"{name}_{suffix}", TensorProto.FLOAT, None)
        node = helper.make_node("Neg", [f"{name}_0"], [f"{name}_{suffix}"])
        return helper.make_graph([node], f"{name}_{suffix}", [], [out])

    top = helper.make_node(
        "If", ["c"], ["y"], then_branch=branch("a", "Relu"), else_branch=branch("b", "Abs")
    )
    custom = helper.make_node("Own", ["x"], ["z"], domain="somebody's", body=leaf("a", "own"))
    graph = helper.make_graph(
        [top, custom],
        "g",
        [
            helper.make_tensor_value_info("x", TensorProto.FLOAT, [1]),
            helper.make_tensor_value_info("c", TensorProto.BOOL, []),
        ],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
    )
    return ir.from_proto(helper.make_model(graph))


def test_they_are_those_that_the_library_finds_in_its_order():
    graph = model().graph
    found = list(every_node(graph))
    assert found == list(ir.traversal.RecursiveGraphIterator(graph))
    assert len(found) == 11
