"""One small network, as a module and as ONNX text with the module's weights."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from bnexport.inputs import Examples, InputSpec
from bnexport.signature import Plain

HEAD = '<ir_version: 10, opset_import: ["" : 18]> net (float[N,3,8,8] x) => '
OUTPUTS = "(float[N,5] logits, float[N,4] features)"
BODY = """{
    c = Conv (x, w, b)
    n = BatchNormalization <epsilon=1e-5> (c, s, t, m, v)
    r = Relu (n)
    axes = Constant <value_ints=[2, 3]> ()
    features = ReduceMean <keepdims=0> (r, axes)
    logits = Gemm <transB=1> (features, fw, fb)
}"""


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.bn, self.fc = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Linear(4, 5)
        with torch.no_grad():
            self.bn.running_mean.normal_(0, 0.1)
            self.bn.running_var.uniform_(0.5, 1.5)
            self.bn.weight.uniform_(0.7, 1.3)

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        features = self.bn(self.conv(x)).relu().mean((2, 3))
        return {"logits": self.fc(features), "features": features}


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


@pytest.fixture
def examples() -> Examples:
    return Examples((InputSpec("x", (None, 3, 8, 8)),))


@pytest.fixture
def net() -> Plain:
    return Plain(Net(), ["x"]).eval()


@pytest.fixture
def onnx_of(net: Plain) -> Callable[..., bytes]:
    """The file that the network should become, or one with a fault: other weights, text or outputs."""

    def build(
        replace: tuple[str, str] = ("", ""),
        outputs: str = OUTPUTS,
        **change: Callable[[np.ndarray], np.ndarray],
    ) -> bytes:
        assert replace[0] in BODY
        model = onnx.parser.parse_model(HEAD + outputs + BODY.replace(*replace))
        for name, value in weights_of(net.model).items():
            changed = change[name](value) if name in change else value
            tensor = onnx.numpy_helper.from_array(np.asarray(changed, np.float32), name)
            model.graph.initializer.append(tensor)
        onnx.checker.check_model(model)
        return model.SerializeToString()

    return build


def weights_of(net: Net) -> dict[str, np.ndarray]:
    tensors = {
        "w": net.conv.weight,
        "b": net.conv.bias,
        "s": net.bn.weight,
        "t": net.bn.bias,
        "m": net.bn.running_mean,
        "v": net.bn.running_var,
        "fw": net.fc.weight,
        "fb": net.fc.bias,
    }
    return {name: tensor.detach().numpy() for name, tensor in tensors.items()}
