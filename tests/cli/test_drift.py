import json

import numpy as np
import pytest
import torch
from drifting import calibrated, generator, pictures


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save(calibrated(4000), "net.pt")
    np.savez("healthy.npz", input=pictures(96, generator(1)))
    np.savez("shifted.npz", input=pictures(96, generator(2), shift=1.0))
    return tmp_path


def test_healthy_data(bnexport, here):
    outcome = bnexport("drift", "net.pt", "--data", "healthy.npz")
    assert outcome.code == 0
    assert "verdict   no drift in 2 layers\n" in outcome.out


def test_drift_is_an_exit_code_a_layer_and_a_remedy(bnexport, here):
    outcome = bnexport("drift", "net.pt", "--data", "shifted.npz", "--batch-size", "40")
    assert outcome.code == 1
    assert "verdict   2 of 2 layers drifted; it starts in 1\n" in outcome.out
    assert "batches   16 (1x), 40 (2x)\n" in outcome.out
    assert "bnexport recalibrate" in outcome.out


def test_a_higher_threshold(bnexport, here):
    assert bnexport("drift", "net.pt", "--data", "shifted.npz", "--threshold", "99").code == 0


def test_the_document_and_the_page(bnexport, here):
    flags = ["--data", "shifted.npz", "--json", "--report", "html=x.html"]
    outcome = bnexport("drift", "net.pt", *flags)
    found = json.loads(outcome.out, parse_constant=pytest.fail)
    assert (found["schema"], found["drifted"], found["starts"]) == ("bnexport.drift/1", True, "1")
    assert len(found["layers"][0]["shift"]) == 6
    page = (here / "x.html").read_text()
    assert "2 of 2 layers drifted" in page
    assert page.count("<svg") == 3
    assert "<script" not in page


def test_states_are_kept_merged_and_shown(bnexport, here):
    for name in "ab":
        assert bnexport("drift", "net.pt", "--data", "healthy.npz", "--state", name).code == 0
    merged = bnexport("drift", "merge", "a", "b", "-o", "c")
    assert (merged.code, merged.out) == (0, "wrote     c (192 samples of 2 states)\n")
    shown = bnexport("drift", "show", "c")
    assert shown.code == 0
    assert "samples   192\n" in shown.out
    metrics = bnexport("drift", "show", "c", "--prometheus")
    assert "bnexport_drift_samples_total 192\n" in metrics.out


def test_limit_and_the_word(bnexport, here):
    outcome = bnexport("drift", "measure", "net.pt", "--data", "healthy.npz", "--limit", "32")
    assert "samples   32\n" in outcome.out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["drift"], "Commands:"),
        (["drift", "net.pt"], "--data"),
        (["drift", "--data", "healthy.npz"], "MODEL"),
        (["drift", "net.pt", "--data", "absent"], "no such file"),
        (["drift", "absent.pt", "--data", "healthy.npz"], "absent.pt"),
        (["drift", "net.pt", "--data", "healthy.npz", "--limit", "5"], "too few samples"),
        (["drift", "net.pt", "--data", "healthy.npz", "--alpha", "1"], "alpha"),
        (["drift", "net.pt", "--data", "healthy.npz", "--report", "sarif=x"], "KIND"),
        (["drift", "merge", "net.pt", "-o", "c"], "cannot be read"),
        (["drift", "merge", "a", "a", "-o", "c"], "given twice"),
        (["drift", "show", "absent"], "no such file"),
    ],
)
def test_mistakes(bnexport, here, arguments, said):
    outcome = bnexport(*arguments)
    assert outcome.code in (2, 3)
    assert said in outcome.out + outcome.err
    assert "Traceback" not in outcome.err


def test_an_onnx_file_has_no_statistics(bnexport, here):
    import onnx

    text = (
        '<ir_version: 8, opset_import: ["" : 18]> g (float[N,3] x) => (float[N,3] y) {y = Relu(x)}'
    )
    onnx.save(onnx.parser.parse_model(text), "net.onnx")
    outcome = bnexport("drift", "net.onnx", "--data", "healthy.npz")
    assert outcome.code == 3
    assert "Give the module that it was made from" in outcome.err


def test_no_model_is_overwritten_by_a_state(bnexport, here):
    before = (here / "net.pt").read_bytes()
    outcome = bnexport("drift", "net.pt", "--data", "healthy.npz", "--state", "net.pt")
    assert outcome.code == 2
    assert "no state of drift" in outcome.err
    assert (here / "net.pt").read_bytes() == before


def test_nothing_but_nan(bnexport, here):
    np.savez("nan.npz", input=np.full((32, 3, 8, 8), np.nan, np.float32))
    outcome = bnexport("drift", "net.pt", "--data", "nan.npz")
    assert outcome.code == 2
    assert "every sample that reached 1 held NaN or Inf" in outcome.err


def test_an_exported_program_calls_no_layers(bnexport, here):
    free = {0: torch.export.Dim.DYNAMIC}
    program = torch.export.export(
        calibrated(10), (torch.zeros(2, 3, 8, 8),), dynamic_shapes=(free,)
    )
    torch.export.save(program, "net.pt2")
    outcome = bnexport("drift", "net.pt2", "--data", "healthy.npz")
    assert outcome.code == 3
    assert "not called one by one" in outcome.err
    assert "BNX101" not in bnexport("inspect", "net.pt2").out


def test_text_is_no_data(bnexport, here):
    (here / "x.txt").write_text("hello\n" * 50)
    outcome = bnexport("drift", "net.pt", "--data", "x.txt")
    assert outcome.code == 3
    assert "cannot be read" in outcome.err
