"""Capture: the batch stays free, names are the module's, and what cannot be captured is named."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from bnexport.capture import capture
from bnexport.errors import ExportError
from bnexport.inputs import Examples, InputSpec
from bnexport.passes.graphs import kind_of, module_of
from bnexport.signature import Plain, parameter_names

IMAGE = Examples((InputSpec("x", (None, 3, 8, 8)),))


class Net(nn.Module):
    def __init__(self, after=lambda y: y):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 4, 3, bias=False), nn.BatchNorm2d(4))
        self.after = after

    def forward(self, x):
        return self.after(self.stem(x))


def captured(module: nn.Module):
    plain = Plain(module.eval(), parameter_names(module)).eval()
    with torch.no_grad():
        plain(*IMAGE.batch(2))
    return capture(plain, IMAGE).model


def test_the_graph_is_named_after_the_module():
    model = captured(Net())
    norm = next(node for node in model.graph if node.op_type == "BatchNormalization")
    assert (module_of(norm), kind_of(norm)) == ("stem.1", "BatchNorm2d")
    assert {"stem.0.weight", "stem.1.running_mean"} <= set(model.graph.initializers)
    assert [value.name for value in model.graph.inputs] == ["x"]
    assert not isinstance(model.graph.inputs[0].shape[0], int)


def test_no_path_of_this_machine_is_left_in_the_graph():
    model = captured(Net())
    kept = {key for node in model.graph for key in node.metadata_props}
    assert kept == {"bnexport.module", "bnexport.class"}


@pytest.mark.parametrize(
    ("after", "message"),
    [
        (lambda y: torch.cat([y[i : i + 1] * 2 for i in range(len(y))]), "axis 0 came out fixed"),
        (lambda y: y.reshape(2, -1), "axis 1 came out fixed"),
        (lambda y: y if y.sum() > 0 else -y, "data-dependent"),
    ],
    ids=["a_loop_over_samples", "the_batch_in_a_shape", "a_branch_on_values"],
)
def test_what_would_fix_the_batch_is_refused(after, message):
    with pytest.raises(ExportError, match=message):
        captured(Net(after))


def test_an_operator_without_translation_is_named():
    library = torch.library.Library("bnexport_test", "FRAGMENT")
    library.define("twice(Tensor x) -> Tensor")
    library.impl("twice", lambda x: x * 2, "CompositeExplicitAutograd")
    torch.library.register_fake("bnexport_test::twice", torch.empty_like, lib=library)
    with pytest.raises(ExportError, match=r"bnexport_test\.twice"):
        captured(Net(lambda y: torch.ops.bnexport_test.twice(y)))


def test_a_traced_program_is_named_after_its_weights():
    net = Net().eval()
    batch = torch.export.Dim.DYNAMIC
    program = torch.export.export(net, IMAGE.batch(2), dynamic_shapes={"x": {0: batch}})
    plain = Plain(program.module(), ["x"])
    plain(*IMAGE.batch(2))
    nodes = capture(plain, IMAGE).model.graph
    names = {node.op_type: module_of(node) for node in nodes}
    assert (names["Conv"], names["BatchNormalization"]) == ("stem.0", "stem.1")
