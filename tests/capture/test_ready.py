"""A program that need not be traced twice, and one that must be."""

from __future__ import annotations

import contextlib
from collections import Counter

import numpy as np
import onnx_ir as ir
import onnxruntime
import pytest
import torch
from torch import nn
from torch.nn import functional

from bnexport.capture import export as exporting
from bnexport.capture.export import export
from bnexport.capture.ready import make_ready
from bnexport.inputs import Examples, InputSpec
from bnexport.signature import Plain
from models import residual_classifier


class Does(nn.Module):
    def __init__(self, after):
        super().__init__()
        self.conv, self.norm, self.after = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), after
        self.up = nn.ConvTranspose2d(4, 6, 3, 2, output_padding=1, groups=2)
        self.norm.running_mean.normal_()
        self.drop = nn.Dropout(0.3)

    def forward(self, x):
        return self.after(self, self.norm(self.conv(x)))


def changed_part(m, y):
    y = y * 1.5
    part = y[:, :2]
    part.relu_()
    return y + part.mean()


def changed_and_read(m, y):
    z = y * 1.5
    w = functional.relu_(z)
    return z + w


# What is ready as it is, and what torch.onnx has to decompose.
READY = {
    "plain": lambda m, y: y,
    "transposed": lambda m, y: m.up(y),
    "averaged": lambda m, y: functional.adaptive_avg_pool2d(y, 1).flatten(1),
    "averaged_pair": lambda m, y: functional.adaptive_avg_pool2d(y, (1, 1)),
    "added_as_wide": lambda m, y: (y * 2).mul_(torch.ones(4, 1, 1)).add_(1) * 2,
    "dropped": lambda m, y: m.drop(y) * 2,
    "dropped_last": lambda m, y: m.drop(y),
    "in_place": lambda m, y: functional.relu_(y) + 1,
    "changed_and_read": changed_and_read,
    "in_place_sum": lambda m, y: (y * 2).add_(y.sigmoid()).mul_(0.5),
}
DECOMPOSED = {
    "averaged_by_two": lambda m, y: functional.adaptive_avg_pool2d(y, 2),
    "changed_part": changed_part,
    "added_wider": lambda m, y: y.add_(torch.ones(4, 1, 1, dtype=torch.float64)) * 2,
    "reshaped_as": lambda m, y: y[:, :1].reshape_as(y[:, 1:2]),
}


def plain_of(after):
    torch.manual_seed(0)
    module = Plain(Does(after).eval(), ["x"]).eval()
    with torch.no_grad():
        module(torch.randn(2, 3, 8, 8))
    return module


EXAMPLES = Examples((InputSpec("x", (None, 3, 8, 8)),))


@contextlib.contextmanager
def watched(monkeypatch, ready=True):
    """Whether the program decomposed itself."""
    found = []

    def readied(program):
        inner = program.run_decompositions

        def decompose(*args, **kwargs):
            found.append(True)
            return inner(*args, **kwargs)

        program.run_decompositions = decompose
        return make_ready(program) if ready else program

    monkeypatch.setattr(exporting, "make_ready", readied)
    yield found


def outputs(graph, batch):
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    data = ir.to_proto(graph).SerializeToString()
    session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    (x,) = EXAMPLES.batch(batch, seed=7)
    return x, session.run(None, {"x": x.numpy()})


@pytest.mark.parametrize("name", [*READY, *DECOMPOSED])
@pytest.mark.parametrize("batch", [1, 3])
def test_the_graph_computes_what_the_module_does(name, batch, monkeypatch):
    module = plain_of({**READY, **DECOMPOSED}[name])
    with watched(monkeypatch) as decomposed:
        graph = export(module, EXAMPLES, 20).model
    assert bool(decomposed) == (name in DECOMPOSED)
    x, found = outputs(graph, batch)
    with torch.no_grad():
        right = module(x)
    for a, b in zip(found, right, strict=True):
        np.testing.assert_allclose(a, b.numpy(), rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_a_network_has_the_operators_that_torch_would_give_it(monkeypatch):
    module = Plain(residual_classifier.build().eval(), ["x"]).eval()
    examples = Examples((InputSpec("x", (None, 3, 32, 32)),))
    with torch.no_grad():
        module(*examples.batch(2))
    graphs = []
    for ready in (True, False):
        with watched(monkeypatch, ready) as decomposed:
            graphs.append(export(module, examples, 20).model)
        assert bool(decomposed) is not ready
        monkeypatch.undo()
    ours, theirs = (Counter(node.op_type for node in graph.graph) for graph in graphs)
    assert not ours - theirs - Counter(Flatten=1)
    assert ours["BatchNormalization"] == theirs["BatchNormalization"] > 0
