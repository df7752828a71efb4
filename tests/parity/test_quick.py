"""The quick proof: what it finds, and what it leaves to the others."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from bnexport.inputs import Examples, InputSpec
from bnexport.parity import verify_runners
from bnexport.parity.reference import as_it_is
from bnexport.parity.runner import Opened
from bnexport.signature import Plain


class Detector(nn.Module):
    """Boxes in pixels beside scores."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 6, 3)

    def forward(self, x):
        y = self.conv(x)
        return torch.cat([y[:, :4] * 640, y[:, 4:].sigmoid()], 1)


class Like(Opened):
    """A runtime that gives what the model gives, but for ``change``."""

    name, version, device, precision = "like", "1", "cpu", "float32"

    def __init__(self, module, change):
        self.module, self.change = module, change

    def _enter(self):
        pass

    _leave = _enter

    def run(self, inputs):
        with torch.no_grad():
            outputs = self.module(*(torch.from_numpy(each) for each in inputs))
        return tuple(self.change(each.numpy().copy()) for each in outputs)


def judged(change, **options):
    torch.manual_seed(0)
    plain = Plain(Detector().eval(), ["x"]).eval()
    examples = Examples((InputSpec("x", (None, 3, 8, 8)),))
    return verify_runners(
        *(as_it_is(plain), [Like(plain, change)], examples),
        output_names=["y"],
        batches=(1, 2),
        proof="quick",
        **options,
    )


def scores_lost(y):
    y[:, 4:] = 0.5
    return y


def mixed(y):
    return y + 10 * y.mean(0, keepdims=True) * (len(y) > 1)


def test_the_same_passes():
    assert judged(lambda y: y).ok
    assert judged(lambda y: y * np.float32(1 + 1e-5)).ok


@pytest.mark.parametrize(
    "change",
    [
        lambda y: y * np.float32(1.01),
        lambda y: y.astype(np.float64),
        lambda y: y[:, :5],
        lambda y: y * np.float32("nan"),
        scores_lost,
        mixed,
    ],
)
def test_what_is_wrong_is_found(change):
    assert not judged(change).ok


class Mixes(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(4, 4)

    def forward(self, x):
        return self.linear(x) - self.linear(x).mean(0, keepdim=True)


@pytest.mark.parametrize("declared", [True, False])
def test_samples_may_depend_on_each_other_where_that_is_declared(declared):
    plain = Plain(Mixes().eval(), ["x"]).eval()
    examples = Examples((InputSpec("x", (None, 4)),))
    found = verify_runners(
        *(as_it_is(plain), [Like(plain, lambda y: y)], examples),
        output_names=["y"],
        batches=(1, 2),
        proof="quick",
        mixes_batch=declared,
    )
    assert found.ok is declared
