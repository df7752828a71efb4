"""A NaN is traced to the layer, or the value, that it starts in."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from bnexport.inputs import Examples
from bnexport.parity import OnnxRunner, TorchRunner, reference_for, verify_runners
from bnexport.signature import Plain

X = (np.random.default_rng(0).standard_normal((2, 3, 8, 8)).astype(np.float32),)


def spoil(array: np.ndarray) -> np.ndarray:
    spoiled = array.copy()
    spoiled[2] = np.nan
    return spoiled


def test_the_layer_of_a_module(net: Plain) -> None:
    assert TorchRunner(net).origin(X) == ""
    with torch.no_grad():
        net.model.bn.running_var[1] = -1.0
    assert TorchRunner(net).origin(X) == "layer 'bn'"
    assert not net.model.bn._forward_hooks


def test_the_value_of_a_graph(onnx_of: Callable[..., bytes]) -> None:
    assert OnnxRunner(onnx_of()).origin(X) == ""
    assert OnnxRunner(onnx_of(t=spoil)).origin(X) == "BatchNormalization 'n'"


def test_the_report_says_it(net: Plain, onnx_of: Callable[..., bytes], examples: Examples) -> None:
    reference = reference_for(net, examples.batch(2))
    runner = OnnxRunner(onnx_of(t=spoil))
    names = ("logits", "features")
    parity = verify_runners(reference, [runner], examples, output_names=names)
    assert parity.failures[0].detail == (
        "ONNX Runtime has NaN at [0, 0] of output 'logits'; it is first seen in BatchNormalization 'n'"
    )
