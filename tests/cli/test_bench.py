import json
import sys

import onnx
import pytest
import torch

GRAPH = """<ir_version: 8, opset_import: ["" : 18]>
g (float[N,3] x) => (float[N,3] y) <float[3] w = {%s}> {y = Mul(x, w)}"""
NAN = """<ir_version: 8, opset_import: ["" : 18]>
g (float[N,3] x) => (float[N,3] y) {y = Sqrt(x)}"""
QUICK = ("--rounds", "6", "--warmup", "0", "--threads", "1")


@pytest.fixture
def save(tmp_path):
    def put(name, text):
        onnx.save(onnx.parser.parse_model(text), tmp_path / name)
        return str(tmp_path / name)

    return put


@pytest.fixture
def one(save):
    return save("one.onnx", GRAPH % "1.0, 2.0, 3.0")


@pytest.fixture
def two(save):
    return save("two.onnx", GRAPH % "3.0, 2.0, 1.0")


def test_the_table(bnexport, one, two):
    outcome = bnexport("bench", one, two, *QUICK, "--runtime", "ort", "--batch", "1,4")
    assert outcome.code == 0
    assert outcome.out.count("one.onnx in ort") == 2
    assert outcome.out.count("two.onnx in ort") == 2
    assert "6 rounds" in outcome.out
    assert "ort: ONNX Runtime" in outcome.out


def test_the_document(bnexport, one, two):
    options = (*QUICK, "--runtime", "ort,ort-plain", "--seed", "3")
    found = json.loads(bnexport("bench", one, two, *options, "--json").out)
    assert found["schema"] == "bnexport.bench/1"
    assert [p["runtime"] for p in found["participants"]] == ["ort", "ort-plain"] * 2
    assert {each["rounds"] for each in found["results"]} == {6}
    assert (found["settings"]["rounds"], found["settings"]["seed"]) == (6, 3)


def test_code_beside_a_file(bnexport, one):
    arch = ("--arch", "torch.nn:Linear", "--arch-args", '{"in_features": 3, "out_features": 3}')
    found = json.loads(
        bnexport("bench", one, *arch, "--runtime", "torch,ort", *QUICK, "--json").out
    )
    assert [p["model"] for p in found["participants"]] == ["torch.nn:Linear", "one.onnx"]


def test_a_file_against_itself_shows_the_noise(bnexport, one):
    found = json.loads(bnexport("bench", one, one, *QUICK, "--json").out)
    assert [p["model"] for p in found["participants"]] == [one, f"{one} (2)"]
    assert [each["participant"] for each in found["results"]] == [0, 1]


def test_the_report_and_the_plot_are_written(bnexport, one, tmp_path):
    pytest.importorskip("matplotlib")
    written = ("--report", str(tmp_path / "r.json"), "--plot", str(tmp_path / "p.svg"))
    outcome = bnexport("bench", one, *QUICK, "--runtime", "ort", "--batch", "1,2", *written)
    assert outcome.code == 0
    assert json.loads((tmp_path / "r.json").read_text())["schema"] == "bnexport.bench/1"
    assert "<svg" in (tmp_path / "p.svg").read_text()
    assert "r.json (JSON)" in outcome.out


def test_quiet_prints_nothing(bnexport, one):
    outcome = bnexport("bench", one, *QUICK, "--runtime", "ort", "-q")
    assert (outcome.code, outcome.out, outcome.err) == (0, "", "")


def test_a_file_that_gives_nan_fails_by_name(bnexport, one, save):
    outcome = bnexport("bench", one, save("bad.onnx", NAN), *QUICK, "--batch", "8")
    assert outcome.code == 1
    assert "bad.onnx in ort cannot be timed" in outcome.err


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ([], 2),
        (["one.onnx", "--batch", "0"], 2),
        (["one.onnx", "--rounds", "0"], 2),
        (["one.onnx", "--seconds", "0"], 2),
        (["one.onnx", "--runtime", "tflite"], 2),
        (["one.onnx", "--runtime", "torch"], 2),
        (["one.onnx", "--input", "x:Nx4"], 2),
        (["one.onnx", "--input", "z:Nx3"], 2),
        (["one.onnx", "--inputs-from", "nowhere.npz"], 2),
        (["one.onnx", "--report", "nowhere/r.json"], 2),
        (["one.onnx", "--report", "one.onnx"], 2),
        (["one.onnx", "--report", "r", "--plot", "r"], 2),
        (["nowhere.onnx"], 3),
        (["notes.txt"], 3),
        (["one.onnx", "notes.txt"], 3),
    ],
)
def test_a_users_mistake_is_one_message(bnexport, one, tmp_path, monkeypatch, arguments, code):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "notes.txt").write_text("not a model\n")
    outcome = bnexport("bench", *arguments)
    assert (outcome.code, outcome.out) == (code, "")
    assert outcome.err
    assert "Traceback" not in outcome.err


@pytest.mark.skipif(torch.cuda.is_available(), reason="refused only without a GPU")
def test_a_runtime_that_is_asked_for_and_missing_is_its_own_exit_code(bnexport, one):
    outcome = bnexport("bench", one, "--runtime", "ort,ort-cuda")
    assert (outcome.code, outcome.out) == (5, "")


def test_a_plot_without_matplotlib_is_refused_before_anything_runs(bnexport, one, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    outcome = bnexport("bench", one, "--plot", "p.svg")
    assert outcome.code == 5
    assert "pip install bnexport[plots]" in outcome.err
