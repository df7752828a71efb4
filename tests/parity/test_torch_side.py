"""The values of a captured graph that are a layer's output, and that output."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest
import torch
from torch import Tensor, nn

from bnexport.capture import capture
from bnexport.inputs import Examples, parse_input
from bnexport.parity import RunFailed, TorchRunner
from bnexport.parity.arrays import from_torch
from bnexport.parity.graph_side import GraphSide
from bnexport.parity.localise import first_wrong
from bnexport.parity.torch_side import TorchSide, boundaries
from bnexport.signature import Plain


class Split(nn.Module):
    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return x[:, :2] * 2.0, x[:, 2:]


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.block = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU())
        self.twice = nn.Conv2d(4, 4, 1)
        self.split = Split()
        self.last = nn.Conv2d(2, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        a, b = self.split(self.twice(self.twice(self.block(x))))
        return self.last(a) - b


@pytest.fixture(scope="module")
def net() -> Plain:
    torch.manual_seed(0)
    net = Plain(Net().eval(), ["x"]).eval()
    net(torch.zeros(1, 3, 8, 8))
    return net


@pytest.fixture(scope="module")
def captured(net) -> tuple[GraphSide, tuple[np.ndarray, ...]]:
    examples = Examples((parse_input("x:Nx3x8x8"),))
    model = capture(net, examples, None).model
    return GraphSide(ir.to_proto(model)), from_torch(examples.batch(2))


def test_layers_that_ran_once_and_gave_one_tensor_have_a_value(net, captured):
    graph, inputs = captured
    layers = boundaries(graph, TorchRunner(net), inputs)
    assert list(layers.values()) == ["block.0", "block.1", "block.2", "last"]
    assert list(layers) == [name for name in graph.makers if name in layers]


def test_they_agree(net, captured):
    graph, inputs = captured
    own, wide = TorchRunner(net), TorchRunner(net, dtype=torch.float64)
    layers = boundaries(graph, own, inputs)
    side = TorchSide(wide, own, layers)
    for name in layers:
        truth, (rounded,) = side.truth(name, inputs)
        assert truth.dtype == np.float64
        assert rounded.dtype == np.float32
        np.testing.assert_allclose(graph.value(name, inputs), truth, rtol=1e-4, atol=1e-6)
    assert not any(layer._forward_hooks for layer in net.modules())


def test_a_layer_that_never_ran_is_a_failure_to_run(net, captured):
    _, inputs = captured
    side = TorchSide(TorchRunner(net), TorchRunner(net), {"v": "nowhere"})
    with pytest.raises(RunFailed, match="'nowhere': it ran 0 times"):
        side.truth("v", inputs)


def test_nothing_is_wrong_with_a_graph_that_agrees(net, captured):
    graph, inputs = captured
    own, wide = TorchRunner(net), TorchRunner(net, dtype=torch.float64)
    layers = {**boundaries(graph, own, inputs)}
    assert first_wrong(TorchSide(wide, own, layers), graph, list(layers), inputs) is None
