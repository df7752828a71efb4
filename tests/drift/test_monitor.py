"""A monitor changes nothing, counts rightly, forgets nothing and adds up."""

import copy
import logging
import threading

import numpy as np
import pytest
import torch
from drifting import calibrated, generator, pictures
from torch import nn

from bnexport import UsageError
from bnexport.drift import DriftMonitor, merge
from bnexport.drift.state import GROUPS


@pytest.fixture(scope="module")
def net():
    return calibrated(2000)


def watch(net, batches, **options):
    with torch.no_grad(), DriftMonitor(net, every=1, **options) as monitor:
        for each in batches:
            net(each)
    return monitor.state()


def two_pass(net, x):
    """Mean and variance of what each BatchNorm sees, in NumPy's float64, over all samples at once."""
    with torch.no_grad():
        first = net[0](x)
        second = net[3](net[2](net[1](first)))
    values = (
        each.double().numpy().swapaxes(0, 1).reshape(each.shape[1], -1) for each in (first, second)
    )
    return [(each.mean(1), each.var(1)) for each in values]


def test_streaming_equals_two_passes(net):
    x = pictures(200, generator(5))
    with torch.no_grad():
        batches = x.split([64, 1, 30, 64, 41])
        state = watch(net, batches)
        # The convolution of a batch may round otherwise than that of a part of it: so the parts are what is compared.
        seen = [torch.cat([net[:k](each) for each in batches]) for k in (1, 4)]
    for layer, values in zip(state.layers.values(), seen, strict=True):
        whole = layer.seen.pooled()
        flat = values.double().numpy().swapaxes(0, 1).reshape(values.shape[1], -1)
        np.testing.assert_allclose(whole.mean[0], flat.mean(1), rtol=1e-12, atol=1e-15)
        np.testing.assert_allclose(whole.variance()[0], flat.var(1), rtol=1e-12)


@pytest.mark.parametrize("parts", [2, 5])
def test_merged_parts_equal_one_run(net, parts):
    batches = pictures(160, generator(6)).split(16)
    whole = watch(net, batches)
    size = len(batches) // parts
    pieces = [watch(net, batches[k * size : (k + 1) * size]) for k in range(parts)]
    merged = merge(pieces)
    assert merged.samples == whole.samples == 160
    assert merged.batches == whole.batches == {16: 10}
    for name, layer in whole.layers.items():
        other = merged.layers[name].seen
        # Each part is a multiple of the groups, so that even these are the same.
        torch.testing.assert_close(other.mean, layer.seen.mean, rtol=1e-13, atol=1e-15)
        torch.testing.assert_close(other.squares, layer.seen.squares, rtol=1e-12, atol=0)
        assert torch.equal(other.count, layer.seen.count)


def test_the_state_does_not_grow(net):
    few = watch(net, pictures(32, generator(7)).split(8))
    many = watch(net, pictures(320, generator(7)).split(8))
    assert len(few._bytes()) == pytest.approx(len(many._bytes()), abs=16)


def test_outputs_and_module_are_left_alone(net):
    x = pictures(8, generator(8))
    before, expected = copy.deepcopy(net.state_dict()), net(x)
    state = torch.get_rng_state()
    with DriftMonitor(net, every=2) as monitor:
        for _ in range(8):
            assert torch.equal(net(x), expected)
    assert torch.equal(state, torch.get_rng_state())
    assert all(torch.equal(before[name], value) for name, value in net.state_dict().items())
    assert not any(each._forward_pre_hooks or each._forward_hooks for each in net.modules())
    assert 0 < monitor.state().samples < 64


def test_one_call_in_so_many(net):
    with torch.no_grad(), DriftMonitor(net, every=8, seed=0) as monitor:
        for _ in range(800):
            net(torch.zeros(1, 3, 8, 8))
    state = monitor.state()
    assert (state.forwards, state.batches) == (800, {1: 800})
    assert 70 <= state.samples <= 130
    assert state.layers["1"].calls == state.samples


def test_sizes_of_batches_are_logged_once(net, caplog):
    with caplog.at_level(logging.INFO, "bnexport.drift.monitor"):
        watch(net, [torch.zeros(n, 3, 8, 8) for n in (1, 4, 1, 4)])
    assert [each.message for each in caplog.records] == ["first batch of 1", "first batch of 4"]


def test_blocks_go_to_one_group(net):
    state = watch(net, [torch.zeros(24, 3, 8, 8)], block=8)
    count = state.layers["1"].seen.count[:, 0]
    assert count.tolist() == [8 * 64] * 3 + [0] * (GROUPS - 3)


def test_nan_is_left_out_and_counted(net):
    x = pictures(20, generator(9))
    x[3, 0, 0, 0] = float("nan")
    state = watch(net, [x])
    layer = state.layers["1"]
    assert layer.dropped == 1
    assert layer.seen.count.sum() == 19 * 64
    assert layer.seen.mean.isfinite().all()


def test_threads(net):
    x = pictures(16, generator(10))
    with DriftMonitor(net, every=1) as monitor:

        def work():
            with torch.no_grad():
                for _ in range(20):
                    net(x)

        workers = [threading.Thread(target=work) for _ in range(4)]
        for each in workers:
            each.start()
        for each in workers:
            each.join()
    state = monitor.state()
    assert state.samples == 4 * 20 * 16
    assert all(layer.seen.count.sum() == state.samples * 64 for layer in state.layers.values())
    (alone,) = [watch(net, [x]).layers["1"].seen.pooled()]
    torch.testing.assert_close(
        state.layers["1"].seen.pooled().mean, alone.mean, rtol=1e-12, atol=1e-14
    )


def test_an_error_in_the_model_is_no_end(net):
    with DriftMonitor(net, every=1) as monitor:
        with pytest.raises(RuntimeError):
            net(torch.zeros(2, 7, 8, 8))
        net[1](torch.zeros(2, 6, 8, 8))  # a layer by itself is no call of the model
        with torch.no_grad():
            net(torch.zeros(2, 3, 8, 8))
    state = monitor.state()
    assert state.layers["1"].calls == 1
    assert state.forwards == 2


def test_reset_and_twice_attached(net):
    monitor = DriftMonitor(net, every=1).attach().attach()
    net(torch.zeros(2, 3, 8, 8))
    assert monitor.state().layers["1"].calls == 1
    monitor.reset()
    assert monitor.state().samples == 0
    assert monitor.state().layers == {}
    monitor.detach()
    monitor.detach()
    net(torch.zeros(2, 3, 8, 8))
    assert monitor.state().forwards == 0


def test_a_layer_that_is_the_model():
    layer = nn.BatchNorm1d(3).eval()
    state = watch(layer, [torch.zeros(16, 3)])
    assert state.layers[""].seen.count.sum() == 16


def test_a_layer_called_on_more_rows_than_samples():
    class Pairs(nn.Module):
        def __init__(self):
            super().__init__()
            self.bn = nn.BatchNorm1d(2)

        def forward(self, x):
            return self.bn(x.reshape(-1, 2))

    x = torch.arange(48.0).reshape(8, 6)
    state = watch(Pairs().eval(), [x])
    seen = state.layers["bn"].seen
    assert seen.count[:8, 0].tolist() == [3] * 8
    torch.testing.assert_close(seen.mean[0], x[0].reshape(3, 2).mean(0).double())


def test_a_list_of_pictures_is_a_batch():
    class Detector(nn.Module):
        def __init__(self):
            super().__init__()
            self.bn = nn.BatchNorm2d(3)

        def forward(self, images):
            return self.bn(torch.stack(images))

    state = watch(Detector().eval(), [[torch.zeros(3, 4, 4)] * 5])
    assert state.batches == {5: 1}
    assert state.layers["bn"].seen.count[:6, 0].tolist() == [16] * 5 + [0]


def test_inference_mode(net):
    with torch.inference_mode(), DriftMonitor(net, every=1) as monitor:
        for each in pictures(64, generator(12)).split(16):
            net(each)
    assert monitor.judge().samples == 64


def test_what_cannot_be_watched():
    with pytest.raises(UsageError, match="no BatchNorm with running statistics"):
        DriftMonitor(nn.Sequential(nn.BatchNorm2d(3, track_running_stats=False)))
    with pytest.raises(UsageError, match="every=0"):
        DriftMonitor(nn.BatchNorm2d(3), every=0)


def test_metrics(net):
    with torch.no_grad(), DriftMonitor(net, every=1) as monitor:
        for each in pictures(64, generator(11), shift=1.0).split(16):
            net(each)
    lines = monitor.prometheus({"host": 'a"b'}).splitlines()
    assert 'bnexport_drift_forwards_total{host="a\\"b"} 4' in lines
    assert 'bnexport_drift_batches_total{host="a\\"b",size="16"} 4' in lines
    assert 'bnexport_drift_drifted{host="a\\"b",layer="1"} 1' in lines
    kinds = [line.split() for line in lines if line.startswith("# TYPE")]
    assert len({kind[2] for kind in kinds}) == len(kinds) == 7
    with pytest.raises(UsageError, match="no name of a Prometheus label"):
        monitor.prometheus({"a b": "c"})


def test_metrics_of_little(net):
    text = DriftMonitor(net).prometheus()
    assert "forwards_total 0\n" in text
    assert "divergence" not in text
