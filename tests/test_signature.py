"""Plain: any forward becomes positional tensors in, a flat tuple of named tensors out."""

from __future__ import annotations

from collections import namedtuple
from dataclasses import dataclass

import pytest
import torch

from bnexport.errors import ExportError
from bnexport.signature import Plain, parameter_names

Pair = namedtuple("Pair", ["boxes", "scores"])


@dataclass
class Result:
    logits: torch.Tensor
    hidden: tuple[torch.Tensor, torch.Tensor]
    note: str = "not a tensor"


class Returns(torch.nn.Module):
    def __init__(self, make):
        super().__init__()
        self.make = make

    def forward(self, image, mask=None, *, scale=1.0):
        return self.make(image, mask)


NAMES = {
    "tensor": (lambda x, m: x, ("output",)),
    "tuple": (lambda x, m: (x, x + 1), ("output_0", "output_1")),
    "tuple_of_one": (lambda x, m: (x,), ("output",)),
    "dict": (lambda x, m: {"logits": x, "aux": {"feat": x}}, ("logits", "aux.feat")),
    "namedtuple": (lambda x, m: Pair(x, x), ("boxes", "scores")),
    "dataclass": (lambda x, m: Result(x, (x, x)), ("logits", "hidden.output_0", "hidden.output_1")),
    "none_is_left_out": (lambda x, m: {"out": x, "loss": None}, ("out",)),
}


@pytest.mark.parametrize(("make", "names"), NAMES.values(), ids=NAMES)
def test_outputs_are_named(make, names):
    plain = Plain(Returns(make), ["image"])
    outputs = plain(torch.ones(2, 3))
    assert plain.outputs == names
    assert len(outputs) == len(names)


def test_a_model_that_returns_no_tensor_is_refused():
    with pytest.raises(ExportError, match="its forward returned dict"):
        Plain(Returns(lambda x, m: {"n": 1}), ["image"])(torch.ones(2))


def test_inputs_after_a_gap_go_by_keyword():
    class Model(torch.nn.Module):
        def forward(self, a, b=None, *, c):
            return a + c

    x, y = torch.ones(2), torch.full((2,), 3.0)
    assert torch.equal(Plain(Model(), ["a", "c"])(x, y)[0], x + y)


def test_required_parameters_are_the_inputs():
    assert parameter_names(Returns(lambda x, m: x)) == ("image",)
    assert parameter_names(torch.nn.Sequential()) == ("input",)
