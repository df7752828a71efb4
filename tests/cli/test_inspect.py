import hashlib
import json

import pytest
import torch
from torch import nn

from bnexport.targets.cuda import find_gpu


def broken():
    """A network with NaN in the statistics of one BatchNorm."""
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU())
    network[1].running_mean[2] = float("nan")
    return network.eval()


@pytest.fixture
def saved(tmp_path):
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU())
    network[1].running_var.uniform_(0.5, 2.0)
    path = tmp_path / "net.pt"
    torch.save(network, path)
    return path


def test_a_module_shows_its_layers_and_statistics(bnexport, saved):
    outcome = bnexport("inspect", str(saved))
    assert outcome.code == 0
    assert "class     Sequential, 120 parameters\n" in outcome.out
    assert "layers    3: 1 Conv2d, 1 BatchNorm2d, 1 ReLU\n" in outcome.out
    assert "BatchNorm  kind         ch  mean" in outcome.out


def test_train_mode_is_said(bnexport, saved):
    assert "in train mode" in bnexport("inspect", str(saved)).out


def test_every_layer_is_listed_on_demand(bnexport, saved):
    assert "\n  0      Conv2d" in bnexport("inspect", str(saved), "--layers").out


def test_a_layer_that_cannot_be_exported_is_a_problem(bnexport, tmp_path):
    path = tmp_path / "broken.pt"
    torch.save(broken(), path)
    outcome = bnexport("inspect", str(path))
    assert outcome.code == 0
    said = "error     BNX107 NaN or Inf\n          1: running_mean holds 1 NaN of 4 values\n"
    assert said in outcome.out
    assert outcome.out.endswith("verdict   1 error, 2 notes\n")


def test_the_document_is_strict_json(bnexport, tmp_path):
    path = tmp_path / "broken.pt"
    torch.save(broken(), path)
    found = json.loads(bnexport("inspect", str(path), "--json").out, parse_constant=pytest.fail)
    assert found["schema"] == "bnexport.inspection/1"
    assert found["batch_norms"][0]["mean_range"] == ["NaN", "NaN"]


def test_a_graph_shows_its_operators(bnexport, tmp_path):
    import onnx

    path = tmp_path / "net.onnx"
    text = (
        '<ir_version: 8, opset_import: ["" : 18]> g (float[N,3] x) => (float[N,3] y) {y = Relu(x)}'
    )
    onnx.save(onnx.parser.parse_model(text), path)
    outcome = bnexport("inspect", str(path))
    assert "opset     ai.onnx 18\ninput     x Nx3 float\n" in outcome.out
    assert "operators 1: 1 Relu\n" in outcome.out


def test_an_engine_shows_its_sidecar(bnexport, tmp_path):
    engine = tmp_path / "net.engine"
    engine.write_bytes(b"ptrt" + bytes(60))
    sidecar = {
        "schema": "bnexport.engine/1",
        "flavour": "tensorrt_rtx",
        "version": "1.7.1",
        "targets": ["sm_89"],
        "precision": "float32",
        "inputs": [{"name": "x", "dtype": "float32", "shape": [-1, 3]}],
        "outputs": [{"name": "y", "dtype": "float32", "shape": [-1, 3]}],
        "profiles": {"x": [[1, 3], [8, 3], [8, 3]]},
        "layers": {"ACTIVATION": 1},
        "scale_layers": 2,
        "scaling": ["layer1.bn", "head.norm"],
        "static": True,
        "bytes": 64,
        "engine_sha256": hashlib.sha256(engine.read_bytes()).hexdigest(),
    }
    (tmp_path / "net.engine.json").write_text(json.dumps(sidecar))
    text = bnexport("inspect", str(engine)).out
    assert "built by  tensorrt_rtx 1.7.1 for sm_89\n" in text
    assert "precision float32, static\n" in text
    assert "profile   x: 1x3 to 8x3, tuned for 8x3\n" in text
    assert "BatchNorm 2 scaling layers: layer1.bn, head.norm\n" in text
    assert "problem" not in text
    engine.write_bytes(engine.read_bytes()[:63])
    text = bnexport("inspect", str(engine)).out
    assert "problem   it was cut off: 63 of 64 bytes are there\n" in text


@pytest.mark.skipif(not isinstance(find_gpu(), str), reason="there is a GPU here")
def test_the_layers_of_an_engine_need_its_gpu(bnexport, tmp_path):
    test_an_engine_shows_its_sidecar(bnexport, tmp_path)
    text = bnexport("inspect", "--layers", str(tmp_path / "net.engine")).out
    assert "layers    not as they run: no CUDA" in text


def test_an_engine_without_a_sidecar_shows_its_header(bnexport, tmp_path):
    engine = tmp_path / "net.engine"
    engine.write_bytes(b"vtrt" + bytes(20) + bytes((1, 7, 1, 116)) + bytes(60))
    outcome = bnexport("inspect", str(engine))
    assert outcome.code == 0
    assert "header    tensorrt_rtx 1.7.1.116\n" in outcome.out
    assert "net.engine.json" in outcome.out
    engine.write_bytes(b"vtrt" + bytes(20))
    assert "problem" in bnexport("inspect", str(engine)).out


def test_nothing_to_inspect_is_a_usage_error(bnexport):
    assert bnexport("inspect").code == 2


def test_a_missing_file_is_refused(bnexport):
    outcome = bnexport("inspect", "nowhere.pt")
    assert (outcome.code, outcome.err) == (
        3,
        "error: nowhere.pt\n  no such file\n  Check the path\n",
    )


@pytest.fixture
def norms(tmp_path):
    """Two BatchNorms of one ending: one behind a convolution, one behind an activation."""
    torch.manual_seed(0)
    block = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.GELU(), nn.BatchNorm2d(4))
    path = tmp_path / "net.pt"
    torch.save(nn.Sequential(block, nn.Sequential(nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4))), path)
    return path


def test_a_kept_layer_is_explained(bnexport, norms):
    outcome = bnexport("inspect", str(norms), "--explain", "0.3", "--input", "Nx3x8x8")
    assert outcome.code == 0
    lines = outcome.out.splitlines()
    assert lines[0] == "BatchNorm 0.3 (BatchNorm2d, 4 channels)"
    assert lines[1] == "fate      absorbed into 1.0"
    assert lines[-1] == "behind    Conv of 1.0 -> BatchNormalization of 1.1 -> the output output"


def test_an_explanation_is_in_the_document(bnexport, norms):
    arguments = ("--explain", "0.1", "--explain", "1.1", "--input", "Nx3x8x8", "--json")
    explained = json.loads(bnexport("inspect", str(norms), *arguments).out)["explained"]
    assert [(each["name"], each["fate"]) for each in explained] == [
        ("0.1", "absorbed"),
        ("1.1", "absorbed"),
    ]
    assert explained[0]["before"] == ["Conv of 0.0", "the input input"]


@pytest.mark.parametrize(
    ("layer", "message"),
    [("1", "error: 1 is not one BatchNorm\n"), ("bn7", "error: the model has no BatchNorm bn7\n")],
)
def test_a_name_that_is_not_one_layer_s(bnexport, norms, layer, message):
    outcome = bnexport("inspect", str(norms), "--explain", layer, "--input", "Nx3x8x8")
    assert outcome.code == 2
    assert message in outcome.err
    assert "0.1" in outcome.err  # it names what there is


@pytest.mark.parametrize(
    ("flags", "code"),
    [
        ([], 0),
        (["--fail-on", "never"], 0),
        (["--fail-on", "error"], 1),
        (["--fail-on", "error", "--ignore", "BNX107"], 0),
        (["--fail-on", "error", "--ignore", "BNX107:0"], 1),
        (["--fail-on", "error", "--ignore", "BNX107:[12]"], 0),
        (["--fail-on", "warning", "--ignore", "BNX107"], 0),
        (["--fail-on", "note", "--ignore", "BNX107"], 1),
        (["--ignore", "BNX999"], 2),
        (["--ignore", "BNX107:"], 2),
        (["--config", "absent.toml"], 2),
    ],
)
def test_what_fails(bnexport, tmp_path, monkeypatch, flags, code):
    monkeypatch.chdir(tmp_path)
    torch.save(broken(), "broken.pt")
    assert bnexport("inspect", "broken.pt", *flags).code == code


@pytest.mark.parametrize("place", ["pyproject.toml", "own.toml"])
def test_findings_are_ignored_in_a_file(bnexport, tmp_path, monkeypatch, place):
    (tmp_path / place).write_text('[tool.bnexport.inspect]\nignore = ["BNX107", "BNX118:*"]\n')
    (tmp_path / "below").mkdir()
    monkeypatch.chdir(tmp_path / "below")
    torch.save(broken(), "broken.pt")
    flags = ["--config", "../own.toml"] if place == "own.toml" else []
    outcome = bnexport("inspect", "broken.pt", "--fail-on", "error", *flags)
    assert outcome.code == 0
    assert "ignored   2 on demand: BNX107, BNX118\n" in outcome.out


def test_reports_of_findings(bnexport, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save(broken(), "broken.pt")
    flags = ["--report", "html=x.html", "--report", "sarif=x.sarif", "--ignore", "BNX118"]
    assert bnexport("inspect", "broken.pt", *flags).code == 0
    (run,) = json.loads((tmp_path / "x.sarif").read_text())["runs"]
    told = [(each["ruleId"], each["level"], "suppressions" in each) for each in run["results"]]
    assert ("BNX107", "error", False) in told
    assert ("BNX118", "note", True) in told
    page = (tmp_path / "x.html").read_text()
    assert "BNX107 NaN or Inf: 1 layer" in page
    assert "<script" not in page


def test_an_inspection_has_no_junit(bnexport, saved):
    assert bnexport("inspect", str(saved), "--report", "junit=x.xml").code == 2


def test_static_runs_nothing(bnexport, saved):
    seen = json.loads(bnexport("inspect", str(saved), "--json").out)
    assert seen["batch_norms"][0]["follows"] == ["Conv2d 0"]
    still = json.loads(bnexport("inspect", str(saved), "--json", "--static").out)
    assert still["batch_norms"][0]["follows"] is None


def test_a_model_that_does_not_run_is_still_looked_at(bnexport, tmp_path):
    path = tmp_path / "net.pt"
    torch.save(nn.Sequential(nn.BatchNorm2d(4), nn.Linear(7, 3), nn.Conv2d(2, 4, 3)), path)
    outcome = bnexport("inspect", str(path))
    assert outcome.code == 0
    assert "note      not run, so what each layer follows is not known" in outcome.out
    assert "BNX105" in outcome.out
    assert bnexport("inspect", str(path), "--input", "Nx4x9x9").code == 2


def test_findings_in_an_onnx_file(bnexport, tmp_path):
    import onnx

    text = """<ir_version: 8, opset_import: ["" : 15]>
    g (float[N,2,4,4] x) => (float[N,2,4,4] y)
    <float[2] s = {1, 1}, float[2] b = {0, 0}, float[2] m = {0.5, 0}, float[2] v = {-1, 2}>
    {y = BatchNormalization(x, s, b, m, v)}"""
    path = tmp_path / "net.onnx"
    onnx.save(onnx.parser.parse_model(text), path)
    outcome = bnexport("inspect", str(path), "--fail-on", "error")
    assert outcome.code == 1
    assert "BNX108 negative variance\n          y: running_var is negative in 1 of 2" in outcome.out


def test_an_engine_has_no_findings(bnexport, tmp_path):
    engine = tmp_path / "net.engine"
    engine.write_bytes(b"ptrt" + bytes(60))
    assert bnexport("inspect", str(engine), "--fail-on", "error").code == 2
