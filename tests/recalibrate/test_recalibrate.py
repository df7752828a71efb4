"""Statistics of whole data sets, against NumPy; nothing else changes; runs that were broken off go on."""

import copy

import numpy as np
import pytest
import torch
from drifting import generator, network, pictures
from torch import nn

import bnexport
from bnexport import DataOptions, recalibrate
from bnexport.errors import BnexportError, OutputError, Refused, UsageError


def batches(seed=0, sizes=(16, 16, 7, 3), **how):
    made = generator(seed)
    return [pictures(size, made, **how) for size in sizes]


def destroyed(net):
    for layer in net.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.running_mean.fill_(50.0)
            layer.running_var.fill_(1e-3)
    return net


def two_pass(values):
    """Over all values at once, in NumPy's float64; the variance with n - 1."""
    flat = np.concatenate(
        [x.double().numpy().swapaxes(0, 1).reshape(x.shape[1], -1) for x in values], 1
    )
    return flat.mean(1), flat.var(1, ddof=1)


@pytest.mark.parametrize("sequential", [False, True])
def test_the_first_layer_has_the_statistics_of_all_values(sequential):
    net, data = destroyed(network()), batches()
    found = recalibrate(net, data, sequential=sequential)
    with torch.no_grad():
        mean, var = two_pass([net[0](x) for x in data])
    np.testing.assert_allclose(found.layers[0].after[0], mean, rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(found.layers[0].after[1], var, rtol=1e-12)
    assert found.layers[0].values == 42 * 64
    assert (found.samples, found.batches, found.passes) == (42, 4, 2 if sequential else 1)


def test_in_one_pass_layers_see_what_they_see_in_training():
    net, data = destroyed(network()), batches()
    found = recalibrate(net, data)
    live, seen = copy.deepcopy(net), []
    live[4].register_forward_pre_hook(lambda layer, given: seen.append(given[0].detach()))
    live.train()
    with torch.no_grad():
        for x in data:
            live(x)
    mean, var = two_pass(seen)
    # The batch's statistics, rounded to float32 on the way, are all that differs.
    np.testing.assert_allclose(found.layers[1].after[0], mean, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(found.layers[1].after[1], var, rtol=1e-4)


def test_one_by_one_layers_see_what_they_see_deployed():
    net, data = destroyed(network()), batches()
    found = recalibrate(net, data, sequential=True)
    found.apply(net)
    with torch.no_grad():
        mean, var = two_pass([net[:4](x) for x in data])
    np.testing.assert_allclose(found.layers[1].after[0], mean, rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(found.layers[1].after[1], var, rtol=1e-6)


@pytest.mark.parametrize("sequential", [False, True])
def test_the_old_statistics_do_not_matter(sequential):
    data = batches()
    one = recalibrate(network(), data, sequential=sequential)
    other = recalibrate(destroyed(network()), data, sequential=sequential)
    for a, b in zip(one.layers, other.layers, strict=True):
        assert torch.equal(a.after[0], b.after[0])
        assert torch.equal(a.after[1], b.after[1])


def test_a_destroyed_network_is_restored():
    """To within float32 of the network that was calibrated on the same data; on other data, to within sampling."""
    data = batches(sizes=(64, 64, 64))
    healthy = network()
    recalibrate(healthy, data, sequential=True, in_place=True)
    broken = destroyed(copy.deepcopy(healthy))
    x = pictures(16, generator(9))
    with torch.no_grad():
        expected, wrong = healthy(x), broken(x)
        recalibrate(broken, data, sequential=True, in_place=True)
        assert torch.equal(broken(x), expected)
        recalibrate(broken, batches(5, (64, 64, 64)), sequential=True, in_place=True)
        size = expected.norm()
        assert (wrong - expected).norm() / size > 0.5
        assert (broken(x) - expected).norm() / size < 0.1


def test_the_callers_module_and_process_are_left_alone():
    net = destroyed(network()).train()
    net[5].register_forward_hook(lambda *_: None)
    before, state = copy.deepcopy(net.state_dict()), torch.get_rng_state()
    recalibrate(net, batches())
    assert all(torch.equal(before[name], value) for name, value in net.state_dict().items())
    assert all(each.training for each in net.modules())
    assert torch.equal(state, torch.get_rng_state())
    assert not net[1]._forward_pre_hooks


def test_in_place_only_the_statistics_change():
    net = destroyed(network())
    before = copy.deepcopy(net.state_dict())
    found = recalibrate(net, batches(), in_place=True)
    changed = {
        name for name, value in net.state_dict().items() if not torch.equal(before[name], value)
    }
    keys = ("running_mean", "running_var", "num_batches_tracked")
    assert changed == {f"{layer}.{key}" for layer in (1, 4) for key in keys}
    assert int(net[1].num_batches_tracked) == 4
    assert torch.equal(net[1].running_mean, found.layers[0].after[0].float())


def test_dropout_stays_off():
    net = network()
    with_dropout = copy.deepcopy(net)
    with_dropout[2] = nn.Sequential(nn.ReLU(), nn.Dropout(0.9))
    one, other = recalibrate(net, batches()), recalibrate(with_dropout.train(), batches())
    assert torch.equal(one.layers[1].after[0], other.layers[1].after[0])


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (nn.BatchNorm1d(3), (5, 3)),
        (nn.BatchNorm1d(3), (5, 3, 7)),
        (nn.BatchNorm2d(3), (5, 3, 4, 2)),
        (nn.BatchNorm3d(3), (5, 3, 2, 2, 2)),
    ],
)
def test_every_rank(layer, shape):
    data = [torch.randn(n, *shape[1:], generator=generator(n)) * 3 + 100 for n in (5, 2)]
    (change,) = recalibrate(layer, data).layers
    mean, var = two_pass(data)
    np.testing.assert_allclose(change.after[0], mean, rtol=1e-13)
    np.testing.assert_allclose(change.after[1], var, rtol=1e-12)


def test_a_shared_layer_counts_every_call():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.bn, self.fc = nn.BatchNorm1d(3), nn.Linear(3, 1)

        def forward(self, a, b):
            return self.fc(self.bn(a)) + self.fc(self.bn(b + 10))

    a, b = torch.randn(8, 3, generator=generator(1)), torch.randn(8, 3, generator=generator(2))
    for sequential in (False, True):
        (change,) = recalibrate(Twice(), [(a, b)], sequential=sequential).layers
        mean, var = two_pass([a, b + 10])
        np.testing.assert_allclose(change.after[0], mean, rtol=1e-6)
        np.testing.assert_allclose(change.after[1], var, rtol=1e-6)


class Spare(nn.Module):
    def __init__(self):
        super().__init__()
        self.spare, self.net = nn.BatchNorm2d(4), network()

    def forward(self, x):
        return self.net(x)


@pytest.mark.parametrize("sequential", [False, True])
def test_a_layer_that_is_not_reached_is_said_and_left(sequential):
    found = recalibrate(Spare(), batches(), sequential=sequential)
    assert found.notes == ("never reached by the data, and left as they were: spare",)
    assert [each.name for each in found.layers] == ["net.1", "net.4"]


def test_frozen_and_synchronised_layers():
    net = nn.SyncBatchNorm.convert_sync_batchnorm(destroyed(network()))
    assert len(recalibrate(net, batches()).layers) == 2


def broken_off(data, after):
    """The same data each time, but the first reading ends in an interruption."""
    state = {"left": after}

    class Data:
        def __iter__(self):
            for x in data:
                if state["left"] == 0:
                    state["left"] = -1
                    raise KeyboardInterrupt
                state["left"] -= 1
                yield x

    return Data()


@pytest.mark.parametrize(("sequential", "after"), [(False, 1), (False, 3), (True, 2), (True, 7)])
def test_a_run_that_was_broken_off_goes_on(tmp_path, sequential, after):
    net, data, state = destroyed(network()), batches(), tmp_path / "state"
    whole = recalibrate(net, data, sequential=sequential)
    broken = broken_off(data, after)
    with pytest.raises(KeyboardInterrupt):
        recalibrate(net, broken, state=state, sequential=sequential)
    assert state.exists()
    went_on = recalibrate(net, broken, state=state, sequential=sequential)
    for a, b in zip(whole.layers, went_on.layers, strict=True):
        assert torch.equal(a.after[0], b.after[0])
        assert torch.equal(a.after[1], b.after[1])
        assert a.values == b.values
    assert not state.exists()


def test_states_of_something_else_are_refused(tmp_path):
    state = tmp_path / "state"
    with pytest.raises(KeyboardInterrupt):
        recalibrate(network(), broken_off(batches(), 2), state=state)
    other = network()
    other[0].weight.data += 1
    with pytest.raises(UsageError, match="another model"):
        recalibrate(other, broken_off(batches(), 2), state=state)
    with pytest.raises(UsageError, match="another sequential"):
        recalibrate(network(), broken_off(batches(), 2), state=state, sequential=True)
    state.write_bytes(b"rubbish")
    with pytest.raises(Refused, match="no state of a recalibration"):
        recalibrate(network(), batches(), state=state)


class TestFiles:
    @pytest.fixture
    def data(self, tmp_path):
        path = tmp_path / "x.npz"
        np.savez(path, input=torch.cat(batches()))
        return path

    def outputs(self, net):
        with torch.no_grad():
            return net.eval()(pictures(4, generator(3)))

    def test_a_pickled_module(self, tmp_path, data):
        torch.save(destroyed(network()), tmp_path / "a.pt")
        found = recalibrate(tmp_path / "a.pt", data, tmp_path / "b.pt")
        expected = network()
        found.apply(expected)
        loaded = bnexport.load(tmp_path / "b.pt").model
        assert torch.equal(self.outputs(loaded), self.outputs(expected))

    @pytest.mark.parametrize("prefix", ["", "module.", "module._orig_mod."])
    def test_a_checkpoint_keeps_all_else(self, tmp_path, data, prefix):
        state = {prefix + n: v for n, v in destroyed(network()).state_dict().items()}
        torch.save({"state_dict": state, "epoch": 7}, tmp_path / "a.pt")
        loaded = bnexport.load(tmp_path / "a.pt", arch="drifting:network")
        found = recalibrate(loaded, data, tmp_path / "b.pt", options=DataOptions(batch_size=10))
        written = torch.load(tmp_path / "b.pt", weights_only=True)
        assert written["epoch"] == 7
        assert list(written["state_dict"]) == list(state)
        mean = written["state_dict"][f"{prefix}1.running_mean"]
        assert torch.equal(mean, found.layers[0].after[0].float())
        assert torch.equal(written["state_dict"][f"{prefix}0.weight"], state[f"{prefix}0.weight"])
        assert int(written["state_dict"][f"{prefix}1.num_batches_tracked"]) == 5

    def test_safetensors(self, tmp_path, data):
        files = pytest.importorskip("safetensors.torch")
        files.save_file(destroyed(network()).state_dict(), tmp_path / "a.safetensors")
        loaded = bnexport.load(tmp_path / "a.safetensors", arch="drifting:network")
        found = recalibrate(loaded, data, tmp_path / "b.safetensors")
        written = files.load_file(tmp_path / "b.safetensors")
        assert torch.equal(written["4.running_var"], found.layers[1].after[1].float())

    def test_a_live_module_becomes_a_state_dict(self, tmp_path, data):
        net = destroyed(network())
        recalibrate(net, data, tmp_path / "b.pt")
        recalibrate(net, data, in_place=True)
        written = torch.load(tmp_path / "b.pt", weights_only=True)
        assert all(torch.equal(written[name], value) for name, value in net.state_dict().items())

    def test_the_input_is_not_overwritten(self, tmp_path, data):
        torch.save(network(), tmp_path / "a.pt")
        before = (tmp_path / "a.pt").read_bytes()
        with pytest.raises(OutputError, match="the model that was read"):
            recalibrate(tmp_path / "a.pt", data, tmp_path / "a.pt")
        with pytest.raises(OutputError):
            recalibrate(tmp_path / "a.pt", data, tmp_path / "absent" / "b.pt")
        assert (tmp_path / "a.pt").read_bytes() == before

    def test_the_command(self, tmp_path, data, monkeypatch, capsys):
        from bnexport.cli.entry import main

        (tmp_path / "own_metric.py").write_text(
            "def mean(m):\n    return float(m[1].running_mean.mean())\n"
        )
        monkeypatch.syspath_prepend(str(tmp_path))
        monkeypatch.chdir(tmp_path)
        torch.save(destroyed(network()), "a.pt")
        flags = ["-o", "b.pt", "--data", "x.npz", "--sequential"]
        assert main(["recalibrate", "a.pt", *flags, "--metric", "own_metric:mean"]) == 0
        out = capsys.readouterr().out
        assert "samples   42 in 2 batches, 2 passes\n" in out
        assert "metric    50 before, " in out
        assert "wrote     b.pt (2 BatchNorms recalibrated)\n" in out
        assert (
            main(
                [
                    "recalibrate",
                    "a.pt",
                    "-o",
                    "c.pt",
                    "--data",
                    "x.npz",
                    "--metric",
                    "own_metric:no",
                ]
            )
            == 3
        )
        assert main(["recalibrate", "a.pt", "--data", "x.npz"]) == 2
        assert main(["drift", "b.pt", "--data", "x.npz"]) == 0


def nan_within():
    data = batches()
    data[1][2, 0, 0, 0] = float("nan")
    return data


@pytest.mark.parametrize(
    ("net", "data", "options", "said"),
    [
        (nn.Conv2d(3, 4, 1), [torch.zeros(2, 3, 4, 4)], {}, "no BatchNorm with running statistics"),
        (network(), [], {}, "holds no sample"),
        (network(), [torch.zeros(2, 5, 4, 4)], {}, "does not run on the data"),
        (network(), nan_within(), {}, "BatchNorm '1': it is fed NaN or Inf"),
        (network(), iter(batches()), {"sequential": True}, "it can be read once"),
        (nn.BatchNorm1d(3), [torch.zeros(1, 3)], {}, "one value a channel"),
        (
            network(),
            batches(),
            {"metric": lambda net: "no number"},
            "the metric: it raised ValueError",
        ),
        (network(), 3, {}, "data of type int"),
    ],
)
def test_mistakes(net, data, options, said):
    with pytest.raises(BnexportError, match=said):
        recalibrate(net, data, **options)


def test_an_iterator_is_enough_for_one_pass():
    assert recalibrate(network(), iter(batches())).samples == 42


def test_progress_has_a_fraction_and_the_time_that_is_left(tmp_path):
    np.savez(tmp_path / "x.npz", input=torch.cat(batches()))
    heard = []
    recalibrate(network(), tmp_path / "x.npz", observe=heard.append)
    steps = [event for event in heard if event.status == "step"]
    assert steps[-1].fraction == 1.0
    assert "s left" in steps[0].text
