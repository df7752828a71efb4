"""torch.export's road: the module runs as often as verification needs it, and is watched where something is amiss."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensor
from torch.nn import functional

import bnexport
from bnexport.capture.export import export
from bnexport.health.passes import run_once
from bnexport.inputs import Examples, InputSpec
from bnexport.signature import Plain

RUNS: list[int] = []


class Runs(nn.Module):
    """A convolution and a BatchNorm, then what is to be tried; notes the batch size of each run with numbers."""

    def __init__(self, after=lambda self, y: y):
        super().__init__()
        self.conv, self.norm, self.after = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), after

    def forward(self, x):
        if not isinstance(x, FakeTensor) and not torch.compiler.is_exporting():
            RUNS.append(x.shape[0])
        return self.after(self, self.norm(self.conv(x)))


def converted(module, folder, **options):
    RUNS.clear()
    options = {"inputs": ["Nx3x8x8"], "batch": (1, 2), "capture": "export", **options}
    return bnexport.convert(module.eval(), folder / "m.onnx", **options)


def test_a_module_runs_once_at_each_batch_size(tmp_path):
    assert converted(Runs(), tmp_path, proof="quick").parity.ok
    assert RUNS == [2, 1]


class Scaled(nn.Module):
    """By a number that Python draws, which torch.export writes down as it was."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)

    def forward(self, x):
        return self.conv(x) * (1 + random.random())


def now_and_then(self, y):
    return y if random.random() < 0.9 else y * 2


AMISS = {
    "a branch that is drawn": Runs(now_and_then),
    "drawn by Python": Scaled(),
    "drawn by NumPy": Runs(lambda self, y: y + float(np.random.default_rng().normal())),
    "drawn by torch": Runs(lambda self, y: y + torch.rand_like(y)),
    "dropout that stays": Runs(lambda self, y: functional.dropout(y, 0.5, training=True)),
    "another at each call": Runs(lambda self, y: y * float(len(RUNS))),
}


@pytest.mark.parametrize("proof", ["quick", "full"])
@pytest.mark.parametrize("name", AMISS)
def test_what_is_random_is_refused(name, proof, tmp_path):
    with pytest.raises(bnexport.Refused, match="random"):
        converted(AMISS[name], tmp_path, proof=proof)
    assert not list(tmp_path.iterdir())


def test_statistics_over_the_batch_are_refused(tmp_path):
    def normalise(self, y):
        return functional.batch_norm(y, None, None, training=True)

    with pytest.raises(bnexport.Refused, match="normalises by the batch"):
        converted(Runs(normalise), tmp_path)


def test_what_is_normalised_within_a_sample_is_not_suspected(tmp_path):
    def normalise(self, y):
        return functional.instance_norm(functional.dropout(y, 0.5, training=False))

    assert converted(Runs(normalise), tmp_path).parity.ok


def test_a_model_that_cannot_run_is_a_users_mistake(tmp_path):
    with pytest.raises(bnexport.UsageError, match="does not run on the example inputs"):
        converted(Runs(), tmp_path, inputs=["Nx5x8x8"])


def test_a_module_that_cannot_take_one_sample_is_tried_with_three():
    def needs_two(self, y):
        torch._check(y.shape[0] > 1)
        return y

    examples = Examples((InputSpec("x", (None, 3, 8, 8)),))
    plain = Plain(Runs(needs_two).eval(), ["x"]).eval()
    run_once(plain, examples.batch(2))
    RUNS.clear()
    assert set(export(plain, examples, 20).outputs) == {3}
    assert RUNS == [1, 3]


def test_a_module_that_drops_the_axis_of_one_sample_is_tried_with_three():
    examples = Examples((InputSpec("x", (None, 3, 8, 8)),))
    plain = Plain(Runs(lambda self, y: y.mean((1, 2, 3), keepdim=True).squeeze()), ["x"]).eval()
    run_once(plain, examples.batch(2))
    assert set(export(plain, examples, 20).outputs) == {1, 3}


def test_an_output_that_depends_on_the_batch_is_told(tmp_path):
    def more(self, y):
        return (y, y * 2) if y.shape[0] > 1 else (y,)

    with pytest.raises(bnexport.ExportError, match="outputs depends on the batch"):
        converted(Runs(more), tmp_path)


def test_a_loop_over_samples_is_named(tmp_path):
    def loops(self, y):
        return torch.stack([each * 2 for each in y])

    with pytest.raises(bnexport.ExportError, match=r"axis 0 came out fixed|batch axis"):
        converted(Runs(loops), tmp_path)
