import json

import numpy as np
import onnx
import pytest

GRAPH = """<ir_version: 8, opset_import: ["" : 18]>
g (float[N,3] x) => (float[N,3] y) <float[3] w = {%s}> {y = Mul(x, w)}"""
# Divided by its batch's sum, a sample depends on its neighbours.
SOCIAL = """<ir_version: 8, opset_import: ["" : 18]>
g (float[N,3] x) => (float[N,3] y) <int64[1] axes = {0}> {
  s = ReduceSum <keepdims=1> (x, axes)
  y = Sub(x, s)
}"""


@pytest.fixture
def save(tmp_path):
    def put(name, text):
        onnx.save(onnx.parser.parse_model(text), tmp_path / name)
        return str(tmp_path / name)

    return put


@pytest.fixture
def one(save):
    return save("one.onnx", GRAPH % "1.0, 2.0, 3.0")


def test_a_file_agrees_with_itself(bnexport, one):
    outcome = bnexport("verify", one, one, "--quiet")
    assert (outcome.code, outcome.out, outcome.err) == (0, "", "")


def test_another_weight_is_a_disagreement(bnexport, one, save):
    outcome = bnexport("verify", one, save("other.onnx", GRAPH % "1.0, 2.0, 3.1"))
    assert outcome.code == 1
    assert "FAIL" in outcome.out
    assert "disagrees" in outcome.out


def test_a_tolerance_lets_it_pass(bnexport, one, save):
    other = save("other.onnx", GRAPH % "1.0, 2.0, 3.1")
    assert bnexport("verify", one, other, "--rtol", "0.1").code == 0


def test_a_sample_that_depends_on_its_neighbours_fails(bnexport, save):
    social = save("social.onnx", SOCIAL)
    outcome = bnexport("verify", social, social)
    assert outcome.code == 1
    assert "its neighbours in the batch" in " ".join(outcome.out.split())


def test_the_document(bnexport, one):
    outcome = bnexport("verify", one, one, "--json", "--batch", "1,3")
    found = json.loads(outcome.out)
    assert (found["schema"], found["ok"]) == ("bnexport.verification/1", True)
    assert (found["a"], found["b"]) == (one, one)
    assert found["parity"]["batches"] == [1, 3]


def test_real_samples_are_used(bnexport, one, save, tmp_path):
    other = save("other.onnx", GRAPH % "1.0, 2.0, 3.1")
    np.savez(tmp_path / "x.npz", x=np.float32([[1, 2, 0], [3, 4, 0]]))
    outcome = bnexport("verify", one, other, "--inputs-from", str(tmp_path / "x.npz"), "--json")
    found = json.loads(outcome.out)
    # The weight that differs meets only zeros, but for the edges that are looked at beside the samples.
    assert {c["inputs"] for c in found["parity"]["checks"] if not c["passed"]} == {"ones"}


def test_a_shape_of_an_unknown_input_is_a_usage_error(bnexport, one):
    outcome = bnexport("verify", one, one, "--input", "z:Nx3")
    assert outcome.code == 2
    assert "z" in outcome.err


def test_a_text_file_is_refused(bnexport, one, tmp_path):
    (tmp_path / "notes.txt").write_text("not a model\n")
    outcome = bnexport("verify", one, str(tmp_path / "notes.txt"))
    assert (outcome.code, outcome.out) == (3, "")
    assert "notes.txt" in outcome.err


def test_a_missing_file_is_refused(bnexport, one):
    assert bnexport("verify", one, "nowhere.onnx").code == 3
