"""Which arithmetic the reference runs in, and what it says of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from bnexport.inputs import Examples
from bnexport.parity import OnnxReference, RunFailed, reference_for
from bnexport.signature import Plain


def test_a_plain_module_runs_in_float64(net: Plain, examples: Examples) -> None:
    reference = reference_for(net, examples.batch(2))
    assert reference.runner.precision == "float64"
    assert reference.rounding is reference.own
    assert reference.own.precision == "float32"


def test_a_cast_inside_the_model_is_said(examples: Examples) -> None:
    class Cast(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return (x * 3).float()

    reference = reference_for(Plain(Cast(), ["x"]).eval(), examples.batch(2))
    assert reference.description.endswith("float64, as far as its own casts allow")


def test_a_float64_module_is_given_the_rounding_of_float32(net: Plain, examples: Examples) -> None:
    inputs = [tensor.double() for tensor in examples.batch(2)]
    reference = reference_for(net.double(), inputs)
    assert reference.own.precision == "float64"
    assert reference.rounding.precision == "float32"


def test_a_module_that_cannot_run_at_all_raises(examples: Examples) -> None:
    net = Plain(nn.Linear(5, 2), ["input"]).eval()
    with pytest.raises(RunFailed, match="in float32"):
        reference_for(net, examples.batch(2))


def test_an_onnx_file_is_its_own_reference(onnx_of: Callable[..., bytes], tmp_path: Path) -> None:
    path = tmp_path / "given.onnx"
    path.write_bytes(onnx_of())
    assert OnnxReference(path).description.startswith("given.onnx as given, in ONNX Runtime")
    assert OnnxReference(onnx_of()).description.startswith("the model as given")
