"""What every pass over a graph checks before and after it runs."""

from __future__ import annotations

import onnx_ir as ir
import pytest
from graph_text import graph

from bnexport.passes.graphs.contract import GraphPass

TEXT = "(float[N,4] x) => (float[N,4] y) { a = Relu (x)  y = Abs (a) }"


class Renames(GraphPass):
    def call(self, model: ir.Model) -> ir.passes.PassResult:
        model.graph.outputs[0].name = "z"
        return ir.passes.PassResult(model, True)


class Retypes(GraphPass):
    def call(self, model: ir.Model) -> ir.passes.PassResult:
        model.graph.outputs[0].type = ir.TensorType(ir.DataType.FLOAT16)
        return ir.passes.PassResult(model, True)


class LosesANode(GraphPass):
    def call(self, model: ir.Model) -> ir.passes.PassResult:
        model.graph.remove(model.graph.node(0))
        return ir.passes.PassResult(model, True)


class Nothing(GraphPass):
    def call(self, model: ir.Model) -> ir.passes.PassResult:
        return ir.passes.PassResult(model, False)


@pytest.mark.parametrize("broken", [Renames, Retypes])
def test_a_pass_that_changes_the_interface_is_caught(broken):
    with pytest.raises(ir.passes.PostconditionError, match="inputs or outputs"):
        broken()(graph(TEXT))


def test_a_pass_that_loses_a_node_is_caught():
    with pytest.raises(ir.passes.PostconditionError, match="gone"):
        LosesANode()(graph(TEXT))


def test_a_model_with_functions_is_refused():
    model = graph(TEXT)
    empty = ir.Graph([], [], nodes=[], opset_imports={"": 18})
    function = ir.Function("com.example", "f", graph=empty, attributes=[])
    model.functions[function.identifier()] = function
    with pytest.raises(ir.passes.PreconditionError, match="functions"):
        Nothing()(model)


def test_a_pass_that_changes_nothing_is_fine():
    assert not Nothing()(graph(TEXT)).modified
