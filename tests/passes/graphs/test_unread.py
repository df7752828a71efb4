"""What a dropped If read is read by nobody: neither folding nor the removal of what is unread counts it."""

from __future__ import annotations

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import TensorProto, helper, numpy_helper

from bnexport.passes.graphs import pipeline
from bnexport.passes.graphs.traverse import every_node
from bnexport.passes.graphs.unread import DropUnread, forget_dropped


def model(condition: str, reads: str, result: bool) -> ir.Model:
    """Conv, BatchNorm, Relu, and an If whose branches read what the Conv or the BatchNorm gives."""
    drawn = np.random.default_rng(0)
    weights = {
        "w": drawn.normal(size=(4, 3, 1, 1)),
        "s": drawn.uniform(1, 2, 4),
        "b": drawn.normal(size=4),
        "m": drawn.normal(size=4),
        "v": drawn.uniform(1, 2, 4),
    }
    held = [
        numpy_helper.from_array(each.astype(np.float32), name) for name, each in weights.items()
    ]
    held += [numpy_helper.from_array(np.array(True), "yes")]

    def picture(name: str, channels: int = 4) -> onnx.ValueInfoProto:
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", channels, 2, 2])

    branches = [
        helper.make_graph([helper.make_node(op, [reads], [name])], name, [], [picture(name)])
        for op, name in (("Abs", "kept"), ("Exp", "other"))
    ]
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"]),
        helper.make_node("BatchNormalization", ["c", "s", "b", "m", "v"], ["n"]),
        helper.make_node("Relu", ["n"], ["y"]),
        helper.make_node(
            "If", [condition], ["z"], then_branch=branches[0], else_branch=branches[1]
        ),
    ]
    inputs = [picture("x", 3), helper.make_tensor_value_info("asked", TensorProto.BOOL, [])]
    outputs = [picture("y"), *([picture("z")] if result else [])]
    graph = helper.make_graph(nodes, "g", inputs, outputs, held)
    opsets = [helper.make_opsetid("", 18)]
    return ir.from_proto(helper.make_model(graph, opset_imports=opsets, ir_version=9))


def rewritten(made: ir.Model) -> list[str]:
    for step in pipeline(lambda fate: None, simplify=False):
        made = step(made).model
    return [node.op_type for node in every_node(made.graph)]


@pytest.mark.parametrize("reads", ["c", "n"])
def test_an_if_that_nobody_reads_is_no_reader(reads):
    assert rewritten(model("asked", reads, result=False)) == ["Conv", "Relu"]


@pytest.mark.parametrize(
    ("reads", "expected"),
    [("c", ["Conv", "Abs", "BatchNormalization", "Relu"]), ("n", ["Conv", "Abs", "Relu"])],
)
def test_the_branch_that_is_not_taken_is_no_reader(reads, expected):
    found = rewritten(model("yes", reads, result=True))
    assert sorted(found) == sorted(expected)


@pytest.mark.parametrize("reads", ["c", "n"])
def test_an_if_that_stays_is_a_reader(reads):
    found = rewritten(model("asked", reads, result=True))
    assert ("BatchNormalization" in found) == (reads == "c")
    assert "If" in found


def test_what_only_a_dropped_if_read_is_dropped_with_it():
    made = model("asked", "n", result=False)
    made.graph.outputs[0] = made.graph.node(0).outputs[0]
    assert DropUnread()(made).modified
    assert [node.op_type for node in made.graph] == ["Conv"]
    assert set(made.graph.initializers) == {"w"}


def test_there_is_nothing_to_forget_where_nothing_was_dropped():
    made = model("asked", "c", result=True)
    assert not forget_dropped(made)
    DropUnread()(made)
    assert [node.op_type for node in made.graph] == ["Conv", "BatchNormalization", "Relu", "If"]
    assert set(made.graph.initializers) == set("wsbmv")
