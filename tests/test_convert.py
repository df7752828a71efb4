"""The whole road: what comes out, what is left untouched, and what is not published."""

from __future__ import annotations

import json

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime
import pytest
import torch
from torch import nn

import bnexport
from bnexport.passes import graphs
from bnexport.passes.graphs import Fold, module_of
from models import residual_classifier, siamese, sync_unet

SMALL = ["Nx3x32x32"]


def run(path, *arrays):
    options = onnxruntime.SessionOptions()
    level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.graph_optimization_level = level
    session = onnxruntime.InferenceSession(path, options)
    names = [value.name for value in session.get_inputs()]
    return session.run(None, dict(zip(names, arrays, strict=True)))


def trained_under_ddp():
    """A SyncBatchNorm network in train mode, and its weights under DDP's keys."""
    module = sync_unet.build().train()
    assert any(isinstance(layer, nn.SyncBatchNorm) for layer in module.modules())
    return module, {f"module.{key}": value for key, value in module.state_dict().items()}


def test_a_sync_batchnorm_checkpoint_equals_the_plain_model(tmp_path):
    module, weights = trained_under_ddp()
    torch.save(weights, tmp_path / "ddp.pt")
    result = bnexport.convert(
        tmp_path / "ddp.pt", tmp_path / "out.onnx", arch="models.sync_unet:build", inputs=SMALL
    )
    assert result.ok
    assert result.ledger.totals == {"absorbed": 12}
    x = torch.randn(3, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        expected = bnexport.revert_sync_batchnorm(module).eval()(x).numpy()
    np.testing.assert_allclose(run(result.path, x.numpy())[0], expected, rtol=1e-4, atol=1e-4)


def test_the_callers_module_is_as_it_was(tmp_path):
    module = residual_classifier.build().train()
    list(module.modules())[3].eval()
    flags = [layer.training for layer in module.modules()]
    weights = {key: value.clone() for key, value in module.state_dict().items()}
    random, grad = torch.get_rng_state(), torch.is_grad_enabled()
    bnexport.convert(module, tmp_path / "out.onnx", inputs=SMALL, batch=[2])
    assert [layer.training for layer in module.modules()] == flags
    assert all(torch.equal(weights[key], value) for key, value in module.state_dict().items())
    assert torch.equal(torch.get_rng_state(), random)
    assert torch.is_grad_enabled() == grad


def test_a_batch_norm_called_twice_is_one_row(tmp_path):
    names = [str(shape) for shape in siamese.INPUT]
    result = bnexport.convert(siamese.build(), tmp_path / "out.onnx", inputs=names, batch=[3])
    assert len({row.name for row in result.ledger.rows}) == len(result.ledger.rows)
    assert not result.ledger.kept


@pytest.fixture(scope="module")
def converted(tmp_path_factory):
    path = tmp_path_factory.mktemp("converted") / "out.onnx"
    return bnexport.convert(residual_classifier.build(), path, inputs=SMALL)


def test_the_file_says_what_it_is(converted):
    proto = onnx.load(converted.path)
    onnx.checker.check_model(proto, full_check=True)
    assert proto.producer_name == "bnexport"
    assert [v.type.tensor_type.shape.dim[0].dim_param for v in proto.graph.input] == ["N"]
    assert not any(node.op_type == "BatchNormalization" for node in proto.graph.node)
    assert "stages.0.conv1" in {module_of(node) for node in ir.from_proto(proto).graph}
    assert str(converted.path.parent) not in str(proto)


def test_the_report_tells_the_whole_conversion(converted):
    report = json.loads(converted.report.read_text())
    assert report["ok"] is True
    assert report["ledger"]["totals"] == converted.ledger.totals
    assert {check["batch"] for check in report["parity"]["checks"]} == {1, 8}
    assert [file["path"] for file in report["files"]] == [str(converted.path)]


def test_every_torch_target_is_built_and_proved(tmp_path):
    result = bnexport.convert(
        residual_classifier.build(),
        tmp_path / "out.torchscript.pt",
        target=["torchscript", "pt2"],
        inputs=SMALL,
        batch=[2],
    )
    assert {path.name for path in result.files} == {
        "out.torchscript.pt",
        "out.pt2",
        "out.torchscript.pt.report.json",
        "out.torchscript.pt.sha256",
    }
    assert {check.runtime.split()[0] for check in result.parity.checks} == {
        "PyTorch",
        "TorchScript",
        "torch.export",
    }
    assert any("not folded" in note for note in result.document["notes"])


class WrongFold(Fold):
    """Folds, then loses one channel's bias."""

    def call(self, model):
        result = super().call(model)
        conv = next(node for node in model.graph if node.op_type == "Conv")
        bias = conv.inputs[2]
        numbers = bias.const_value.numpy().copy()
        numbers[0] += 1.0
        bias.const_value = ir.tensor(numbers, name=bias.name)
        return result


@pytest.mark.parametrize("keep", [False, True])
def test_what_fails_verification_is_not_published(tmp_path, monkeypatch, keep):
    monkeypatch.setattr(graphs, "Fold", WrongFold)
    (tmp_path / "out.onnx").write_bytes(b"the good one of last week")
    with pytest.raises(bnexport.ConversionFailed, match="ONNX Runtime") as failure:
        bnexport.convert(
            residual_classifier.build(), tmp_path / "out.onnx", inputs=SMALL, keep_failed=keep
        )
    assert failure.value.exit_code == 1
    assert (tmp_path / "out.onnx").read_bytes() == b"the good one of last week"
    beside = {f"out.failed.onnx.{suffix}" for suffix in ("report.json", "sha256")}
    kept = {"out.failed.onnx", *beside} if keep else set()
    assert {path.name for path in tmp_path.iterdir()} == {"out.onnx"} | kept


def test_an_onnx_file_is_folded_and_verified_against_itself(tmp_path):
    module = residual_classifier.build()
    bnexport.convert(module, tmp_path / "plain.onnx", inputs=SMALL, fold=False)
    result = bnexport.convert(tmp_path / "plain.onnx", tmp_path / "folded.onnx")
    assert result.ok
    assert "as given" in result.parity.reference
    assert result.ledger.totals == {"absorbed": 15}


def test_tolerances_replace_the_yardstick(tmp_path):
    with pytest.raises(bnexport.ConversionFailed):
        bnexport.convert(
            residual_classifier.build(), tmp_path / "out.onnx", inputs=SMALL, atol=0.0, rtol=1e-12
        )


class Small(nn.Module):
    def __init__(self, after=lambda x, y: y):
        super().__init__()
        self.conv, self.bn, self.after = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), after

    def forward(self, x):
        return self.after(x, self.bn(self.conv(x)))


SHAPES = {
    "an_input_is_returned": (lambda x, y: (y, x), ["output_0", "output_1"]),
    "one_value_is_returned_twice": (lambda x, y: (y, y), ["output_0", "output_1"]),
    "an_output_is_called_as_an_input": (lambda x, y: {"x": y}, ["x_1"]),
    "two_outputs_are_called_alike": (
        lambda x, y: {"a": {"b": y}, "a.b": y.relu()},
        ["a.b", "a.b_1"],
    ),
}


@pytest.mark.parametrize(("after", "names"), SHAPES.values(), ids=SHAPES)
def test_every_output_has_a_name_of_its_own(tmp_path, after, names):
    result = bnexport.convert(Small(after), tmp_path / "out.onnx", inputs=["Nx3x8x8"], batch=[2])
    proto = onnx.load(result.path)
    assert [value.name for value in proto.graph.input] == ["x"]
    assert [value.name for value in proto.graph.output] == names


def test_a_float64_model_is_proved_by_the_evaluator(tmp_path):
    result = bnexport.convert(
        Small().double(), tmp_path / "out.onnx", inputs=["Nx3x8x8:float64"], batch=[2]
    )
    assert {check.runtime.split()[0] for check in result.parity.checks} == {"PyTorch", "ONNX"}
    assert {check.precision for check in result.parity.checks} == {"float64"}
    assert "no float64 kernel" in result.parity.skipped[0].reason


def test_a_keyword_only_input_is_found(tmp_path):
    class Keyword(Small):
        def forward(self, *, image):
            return self.bn(self.conv(image)) + 0 * torch.rand(1)

    module, before = Keyword(), torch.get_rng_state()
    result = bnexport.convert(module, tmp_path / "out.onnx", inputs=["Nx3x8x8"], batch=[2])
    assert [spec["name"] for spec in result.document["inputs"]["specs"]] == ["image"]
    assert torch.equal(torch.get_rng_state(), before)


def test_an_input_with_a_default_stays_an_input(tmp_path):
    text = (
        '<ir_version: 8, opset_import: ["" : 18]> g (float[N,4] x, float[4] k) => (float[N,4] y)'
        " <float[4] k = {1.0, 2.0, 3.0, 4.0}> { a = Relu (x)  y = Mul (a, k) }"
    )
    onnx.save(onnx.parser.parse_model(text), tmp_path / "in.onnx")
    result = bnexport.convert(tmp_path / "in.onnx", tmp_path / "out.onnx", batch=[2])
    assert [value.name for value in onnx.load(result.path).graph.input] == ["x", "k"]
