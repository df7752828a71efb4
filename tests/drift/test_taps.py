"""A converted file tells what the module's BatchNorms saw, though they are folded."""

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from drifting import calibrated, generator, pictures
from torch import nn

import bnexport
from bnexport.drift import DriftMonitor, TapMonitor, merge
from bnexport.errors import Refused, UsageError


@pytest.fixture(scope="module")
def net():
    return calibrated(4000)


@pytest.fixture(scope="module")
def made(net, tmp_path_factory):
    path = tmp_path_factory.mktemp("taps") / "net.onnx"
    return bnexport.convert(net, path, inputs=["Nx3x8x8"], drift_taps=True)


def session(path):
    return onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])


def observed(path, batches):
    run = session(path)
    monitor = TapMonitor.of(run)
    names = [output.name for output in run.get_outputs()]
    for x in batches:
        results = run.run(None, {run.get_inputs()[0].name: x.numpy()})
        monitor.observe(dict(zip(names, results, strict=True)))
    return monitor


def test_every_batchnorm_is_folded_and_the_file_verified(made):
    assert made.ok
    assert [row.fate for row in made.ledger.rows] == ["absorbed", "absorbed"]
    nodes = [node.op_type for node in onnx.load(made.path).graph.node]
    assert "BatchNormalization" not in nodes
    names = [output.name for output in onnx.load(made.path).graph.output]
    assert names == ["output", "drift.1", "drift.4"]


def test_the_file_tells_what_the_module_tells(net, made):
    batches = pictures(96, generator(1), shift=0.7).split(16)
    with torch.no_grad(), DriftMonitor(net, every=1) as monitor:
        for x in batches:
            net(x)
    here, there = monitor.state(), observed(made.path, batches).state()
    assert (there.samples, there.batches) == (here.samples, here.batches)
    for name, layer in here.layers.items():
        other = there.layers[name]
        assert other.running.equals(layer.running)
        assert torch.equal(other.seen.count, layer.seen.count)
        deviation = layer.running.var.sqrt()
        apart = (other.seen.mean - layer.seen.mean) / deviation
        assert apart.abs().max() < 1e-4  # float32, once forward and once back
        torch.testing.assert_close(other.seen.squares, layer.seen.squares, rtol=1e-3, atol=1e-3)
    both = merge([here, there])
    assert both.samples == 192


def test_drift_is_seen_and_health_is_not_drift(made):
    healthy = observed(made.path, pictures(128, generator(2)).split(32))
    assert not healthy.judge().drifted
    shifted = observed(made.path, pictures(128, generator(3), shift=1.0).split(32))
    assert shifted.judge().starts.name == "1"
    assert 'drifted{layer="1"} 1' in shifted.prometheus()


def test_the_monitor_of_a_file_by_its_path(made, tmp_path):
    monitor = TapMonitor.read(made.path)
    assert monitor.outputs == ("drift.1", "drift.4")
    monitor.save(tmp_path / "a.drift")
    assert (tmp_path / "a.drift").exists()


def test_files_without_taps(net, tmp_path):
    made = bnexport.convert(net, tmp_path / "net.onnx", inputs=["Nx3x8x8"])
    with pytest.raises(Refused, match="Convert with --drift-taps"):
        TapMonitor.of(session(made.path))
    assert [output.name for output in onnx.load(made.path).graph.output] == ["output"]
    with pytest.raises(UsageError, match="Give the PyTorch model"):
        bnexport.convert(made.path, tmp_path / "b.onnx", drift_taps=True)


def test_outputs_that_are_missing_or_of_another_shape(made):
    monitor = TapMonitor.read(made.path)
    with pytest.raises(UsageError, match="2 of 2 taps are missing"):
        monitor.observe({"output": np.zeros((2, 4))})
    with pytest.raises(UsageError, match=r"shape is \(2, 3\), not \(N, 13\)"):
        monitor.observe({"drift.1": np.zeros((2, 3)), "drift.4": np.zeros((2, 17))})
    assert monitor.state().samples == 0


@pytest.mark.parametrize(
    "text", ["", "[3]", '[{"name": "1"}]', '[{"name":"1","output":"o","eps":0,"values":"*"}]']
)
def test_damaged_metadata(text):
    with pytest.raises(Refused, match="cannot be read"):
        TapMonitor({"bnexport.drift": text})


def test_a_gamma_of_zero_tells_nothing_and_drifts_not(tmp_path):
    net = calibrated(2000)
    net[1].weight.data[2] = 0
    made = bnexport.convert(net, tmp_path / "net.onnx", inputs=["Nx3x8x8"], drift_taps=True)
    state = observed(made.path, pictures(64, generator(4)).split(16)).state()
    layer = state.layers["1"]
    assert torch.allclose(layer.seen.mean[:, 2], layer.running.mean[2])


class Activated(nn.BatchNorm2d):
    """As timm has it: the activation is the layer's own."""

    def __init__(self, channels):
        super().__init__(channels)
        self.drop, self.act = nn.Identity(), nn.ReLU()

    def forward(self, x):
        return self.act(self.drop(super().forward(x)))


def test_the_activation_inside_a_layer_is_not_looked_through(tmp_path):
    net = calibrated(2000)
    layer = Activated(6).eval()
    layer.load_state_dict(net[1].state_dict())
    net[1], net[2] = layer, nn.Identity()
    made = bnexport.convert(net, tmp_path / "net.onnx", inputs=["Nx3x8x8"], drift_taps=True)
    assert not observed(made.path, pictures(128, generator(5)).split(32)).judge().drifted


class Twice(nn.Module):
    def __init__(self):
        super().__init__()
        self.bn = nn.BatchNorm2d(3)

    def forward(self, x):
        return {"a": self.bn(x), "b": self.bn(x + 1)}


def test_a_layer_called_twice(tmp_path):
    made = bnexport.convert(
        Twice().eval(), tmp_path / "n.onnx", inputs=["Nx3x4x4"], drift_taps=True
    )
    monitor = observed(made.path, pictures(32, generator(6))[..., :4, :4].split(32))
    assert monitor.outputs == ("drift.bn", "drift.bn.1")
    layer = monitor.state().layers["bn"]
    assert layer.calls == 2
    assert layer.seen.count.sum() == 2 * 32 * 16


def test_other_targets_and_models_without_batchnorm(net, tmp_path):
    with pytest.raises(UsageError, match="Attach a DriftMonitor"):
        bnexport.convert(net, tmp_path / "n.pt2", target="pt2", drift_taps=True)
    with pytest.raises(UsageError, match="no BatchNorm"):
        bnexport.convert(
            nn.Conv2d(3, 4, 1), tmp_path / "n.onnx", inputs=["Nx3x4x4"], drift_taps=True
        )
