"""The estimates against shifts of known size, and the test against its own false-alarm rate."""

import math
import sys

import numpy as np
import pytest
import torch
from drifting import calibrated, generator, pictures
from torch import nn

from bnexport.drift import DriftState, drift, judge
from bnexport.drift.judge import _quantile
from bnexport.drift.state import GROUPS, LayerState, Running
from bnexport.errors import UsageError
from bnexport.moments import Moments


@pytest.fixture(scope="module")
def net():
    return calibrated()


def one_layer(values, mean, var, eps=0.0):
    """The state of one BatchNorm that saw ``values``, samples first."""
    group = torch.arange(len(values)) % GROUPS
    running = Running(torch.tensor(mean).double(), torch.tensor(var).double(), eps)
    layer = LayerState(running, Moments.of(values, group, GROUPS), 1)
    return DriftState({"bn": layer}, len(values), 1, {len(values): 1})


def gaussian(count, mean, deviation, seed=0, pixels=4):
    noise = torch.randn(count, len(mean), pixels, generator=generator(seed), dtype=torch.float64)
    return noise * torch.tensor(deviation)[:, None] + torch.tensor(mean)[:, None]


def test_known_shifts_lie_in_their_intervals_as_often_as_stated():
    """Half the channels are shifted, half stretched; 95 % of the intervals must hold the truth."""
    truth = torch.tensor([0.0, 0.3, -1.0, 0.0, 2.0])
    ratio = torch.tensor([1.0, 1.0, 1.0, 4.0, 0.25]).double()
    held = []
    for seed in range(200):
        x = gaussian(64, truth.tolist(), ratio.sqrt().tolist(), seed)
        (layer,) = judge(one_layer(x, [0.0] * 5, [1.0] * 5)).layers
        held.append((layer.shift - truth).abs() <= layer.shift_error)
        held.append((layer.log_ratio - ratio.log()).abs() <= layer.log_ratio_error)
    share = float(torch.stack(held).double().mean())
    # 2,000 intervals: the binomial deviation is 0.5 %; a variance of 64 samples is a little skewed.
    assert 0.93 <= share <= 0.97


def test_the_divergence_of_a_known_shift():
    """J = d^2 for a shift alone, (r + 1/r - 2) / 2 for a variance alone; the interval holds it."""
    expected = (0.25 + (4 + 0.25 - 2) / 2) / 2
    held = []
    for seed in range(100):
        x = gaussian(400, [0.5, 0.0], [1.0, 2.0], seed)
        (layer,) = judge(one_layer(x, [0.0, 0.0], [1.0, 1.0])).layers
        held.append(layer.interval[0] <= expected <= layer.interval[1])
    assert sum(held) >= 89  # 95 expected, deviation 2.2
    assert layer.divergence == pytest.approx(expected, rel=0.15)


def test_noise_is_taken_off():
    """Of so few samples the plain divergence is large; without its bias it is about nothing."""
    found = []
    for seed in range(60):
        x = gaussian(16, [0.0] * 32, [1.0] * 32, seed, pixels=1)
        (layer,) = judge(one_layer(x, [0.0] * 32, [1.0] * 32)).layers
        found.append((layer.divergence, float(layer.by_channel.mean())))
    corrected, plain = np.mean(found, axis=0)
    assert plain > 0.12
    assert corrected < plain / 3


def test_false_alarms_are_as_rare_as_stated(net, monkeypatch):
    """1,000 healthy runs of 16 to 64 samples, correlated pixels, two layers: 5 % at alpha 0.05, 1 % at 0.01."""
    monkeypatch.setattr(sys.modules["bnexport.drift.judge"], "FLIPS", 999)
    made = generator(7)
    least = []
    for run in range(1000):
        state = observed(net, pictures((16, 32, 64)[run % 3], made))
        least.append(min(layer.p for layer in judge(state).layers))
    alarms = [sum(p <= alpha for p in least) for alpha in (0.05, 0.01)]
    # Three binomial deviations either side.
    assert 29 <= alarms[0] <= 71
    assert 1 <= alarms[1] <= 20


def observed(net, x):
    from bnexport.drift import DriftMonitor

    with torch.no_grad(), DriftMonitor(net, every=1) as monitor:
        net(x)
    return monitor.state()


def test_a_shift_of_the_inputs_is_drift_and_starts_in_the_first_layer(net):
    found = drift(net, [pictures(128, generator(3), shift=0.8)])
    assert found.drifted
    assert found.starts.name == "1"
    assert found.starts.p <= 0.001
    assert found.ranked()[0].divergence == max(layer.divergence for layer in found.layers)
    assert {layer.name for layer in found.layers} == {"1", "4"}


def test_drift_that_starts_later_is_said_to(net):
    broken = calibrated()
    broken[4].running_mean += 1.0
    found = drift(broken, [pictures(128, generator(4))])
    assert [layer.drifted for layer in found.layers] == [False, True]
    assert found.starts.name == "4"


def test_a_difference_too_small_to_matter_is_no_drift():
    x = gaussian(4000, [0.1], [1.0])
    state = one_layer(x, [0.0], [1.0])
    (layer,) = judge(state).layers
    assert layer.p <= 0.001
    assert not layer.drifted
    assert judge(state, threshold=0.005).drifted


def test_affine_maps_change_nothing():
    x = gaussian(64, [0.3, 0.0], [1.0, 1.5])
    (one,) = judge(one_layer(x, [0.0, 0.0], [1.0, 1.0])).layers
    (two,) = judge(one_layer(x * 1e3 + 5, [5.0, 5.0], [1e6, 1e6])).layers
    assert two.divergence == pytest.approx(one.divergence, rel=1e-9)
    assert two.p == one.p


def test_pixels_that_are_alike_are_not_taken_for_evidence():
    """A thousand copies of each sample's one value say no more than the value."""
    x = gaussian(64, [0.2], [1.0], pixels=1)
    (one,) = judge(one_layer(x, [0.0], [1.0])).layers
    (many,) = judge(one_layer(x.expand(-1, -1, 1000), [0.0], [1.0])).layers
    assert many.p == one.p
    # 64 independent values, whatever the pixels; the estimate of 16 groups is off by a third.
    assert 20 < many.samples < 200


def test_unequal_groups():
    x = gaussian(37, [0.0], [1.0], pixels=9)
    (layer,) = judge(one_layer(x, [0.0], [1.0])).layers
    assert layer.observed[0].item() == pytest.approx(x.mean().item(), rel=1e-12)
    assert layer.observed[1].item() == pytest.approx(x.var(correction=0).item(), rel=1e-12)


def test_a_constant_channel_is_no_crash():
    x = torch.ones(32, 2, 3, dtype=torch.float64)
    (layer,) = judge(one_layer(x, [1.0, 0.0], [0.0, 1.0], 1e-5)).layers
    assert layer.divergence == pytest.approx(layer.by_channel.mean().item(), rel=1e-6)
    assert layer.by_channel[0] == 0


@pytest.mark.parametrize("samples", [1, 7])
def test_too_few_samples(samples):
    with pytest.raises(UsageError, match="too few samples"):
        judge(one_layer(gaussian(samples, [0.0], [1.0]), [0.0], [1.0]))


def test_nothing_was_reached():
    with pytest.raises(UsageError, match="no drift to measure"):
        judge(DriftState({}))


@pytest.mark.parametrize(
    "bad", [{"alpha": 0}, {"alpha": 1}, {"threshold": -1}, {"threshold": math.nan}]
)
def test_limits(bad):
    with pytest.raises(UsageError, match="limits of drift"):
        judge(one_layer(gaussian(32, [0.0], [1.0]), [0.0], [1.0]), **bad)


@pytest.mark.parametrize(("freedom", "expected"), [(7, 2.36462), (15, 2.13145), (30, 2.04227)])
def test_students_t(freedom, expected):
    assert _quantile(freedom) == pytest.approx(expected, abs=1e-3)


def test_a_model_without_batchnorm():
    with pytest.raises(UsageError, match="no BatchNorm with running statistics"):
        drift(nn.Sequential(nn.Conv2d(3, 4, 1)), [torch.zeros(2, 3, 4, 4)])


def test_no_data(net):
    with pytest.raises(UsageError, match="holds no sample"):
        drift(net, [])


def test_data_that_does_not_fit(net):
    with pytest.raises(UsageError, match="does not run on the data list"):
        drift(net, [torch.zeros(2, 5, 4, 4)])
