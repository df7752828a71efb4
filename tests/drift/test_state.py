"""States are read as they were written, and nothing else is."""

import contextlib

import numpy as np
import pytest
import torch
from drifting import calibrated, generator, pictures

from bnexport.drift import DriftMonitor, DriftState, merge
from bnexport.errors import OutputError, Refused, UsageError


@pytest.fixture(scope="module")
def state():
    net = calibrated(500)
    with torch.no_grad(), DriftMonitor(net, every=1) as monitor:
        net(pictures(20, generator(0)))
    return monitor.state()


def test_there_and_back(state, tmp_path):
    state.save(tmp_path / "a.drift")
    read = DriftState.read(tmp_path / "a.drift")
    assert (read.samples, read.forwards, read.batches) == (20, 1, {20: 1})
    assert list(read.layers) == ["1", "4"]
    for name, layer in state.layers.items():
        other = read.layers[name]
        assert other.running.equals(layer.running)
        assert torch.equal(other.seen.mean, layer.seen.mean)
        assert torch.equal(other.seen.squares, layer.seen.squares)
        assert (other.calls, other.dropped) == (layer.calls, layer.dropped)


def test_other_models_do_not_merge(state):
    net = calibrated(500)
    net[4].running_mean += 1
    with torch.no_grad(), DriftMonitor(net, every=1) as monitor:
        net(pictures(20, generator(0)))
    with pytest.raises(UsageError, match="4 has other running statistics"):
        merge([state, monitor.state()])


def test_nothing_merges_to_nothing():
    with pytest.raises(UsageError, match="nothing to merge"):
        merge([])


def test_a_missing_file(tmp_path):
    with pytest.raises(UsageError, match="no such file"):
        DriftState.read(tmp_path / "a.drift")


def test_a_folder_that_is_not_there(state, tmp_path):
    with pytest.raises(OutputError):
        state.save(tmp_path / "absent" / "a.drift")


@pytest.mark.parametrize("cut", [0, 10, 500, -30])
def test_cut_files(state, tmp_path, cut):
    (tmp_path / "a.drift").write_bytes(state._bytes()[:cut])
    with pytest.raises(Refused, match="cannot be read"):
        DriftState.read(tmp_path / "a.drift")


def test_flipped_bytes_are_refused_or_give_a_state(state, tmp_path):
    made = np.random.default_rng(0)
    good = state._bytes()
    for _ in range(60):
        bad = bytearray(good)
        bad[made.integers(len(bad))] ^= 1 << int(made.integers(8))
        (tmp_path / "a.drift").write_bytes(bad)
        with contextlib.suppress(Refused):
            assert isinstance(DriftState.read(tmp_path / "a.drift"), DriftState)


@pytest.mark.parametrize(
    "arrays",
    [
        {},
        {"about": np.frombuffer(b"[]", np.uint8)},
        {"about": np.frombuffer(b'{"schema": "other"}', np.uint8)},
        {"about": np.array([{}], dtype=object)},
        {
            "about": np.frombuffer(
                b'{"schema": "bnexport.drift-state/1", "layers": [{"name": "x", "eps": 0, "calls": 1, "dropped": 0}],'
                b' "samples": 1, "forwards": 1, "batches": {}}',
                np.uint8,
            ),
            "0.running_mean": np.zeros(3),
            "0.running_var": np.zeros(4),
            "0.count": np.zeros((2, 1)),
            "0.mean": np.zeros((2, 3)),
            "0.squares": np.zeros((2, 3)),
        },
    ],
)
def test_foreign_files(tmp_path, arrays):
    with (tmp_path / "a.drift").open("wb") as file:
        np.savez(file, **arrays)
    with pytest.raises(Refused, match="cannot be read"):
        DriftState.read(tmp_path / "a.drift")
