import os
import sys
from types import SimpleNamespace

import pytest
from hostile_report import plain
from sample_report import facts, failed_check, parity

from bnexport.conversion import ConversionFailed
from bnexport.errors import ParityFailure

FAILED = plain(facts(parity=parity(failed_check())))
EACH = ("html", "junit", "sarif", "markdown")


@pytest.fixture
def failing(stub_convert):
    """A road whose verification fails."""

    def convert(model, **options):
        failure = ParityFailure("output 'y'", "NaN")
        raise ConversionFailed(failure, SimpleNamespace(to_json=lambda: FAILED), kept=False)

    stub_convert(convert)


@pytest.mark.parametrize("kind", EACH)
def test_a_report_is_written(bnexport, calls, tmp_path, kind):
    assert bnexport("convert", "m", "--report", f"{kind}={tmp_path}/r").code == 0
    assert "resnet" in (tmp_path / "r").read_text(encoding="utf-8")
    assert "report" not in calls[0][1]


def test_several_are_written(bnexport, calls, tmp_path):
    bnexport("convert", "m", *(f"--report={kind}={tmp_path}/{kind}" for kind in EACH))
    assert sorted(os.listdir(tmp_path)) == sorted(EACH)


def test_a_path_may_hold_an_equals_sign(bnexport, calls, tmp_path):
    bnexport("convert", "m", "--report", f"html={tmp_path}/a=b")
    assert os.listdir(tmp_path) == ["a=b"]


def test_a_failed_verification_is_reported_and_stays_a_failure(bnexport, failing, tmp_path):
    outcome = bnexport("convert", "m", "--report", f"junit={tmp_path}/r.xml")
    assert outcome.code == 1
    assert 'failures="1"' in (tmp_path / "r.xml").read_text()


def test_a_report_that_cannot_be_written_does_not_hide_the_failure(
    bnexport, failing, tmp_path, monkeypatch
):
    monkeypatch.setattr("bnexport.publish.Staging.commit", full)
    outcome = bnexport("convert", "m", "--report", f"html={tmp_path}/r")
    assert outcome.code == 1
    assert "output 'y'" in outcome.err
    assert "the disk is full" in outcome.err


def full(staging, main, others):
    from bnexport.errors import OutputError

    raise OutputError(f"cannot write {staging.destination}", "the disk is full")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("pdf=r", "'pdf=r' is not KIND=PATH, where KIND is one of html, junit, sarif, markdown"),
        ("html", "'html' is not KIND=PATH"),
        ("html=", "'html=' is not KIND=PATH"),
        ("html=nowhere/r", "folder nowhere does not exist"),
        ("html=.", "is a folder"),
        ("html=m", "the same path is given twice"),
        ("html=out.onnx", "the same path is given twice"),
    ],
)
@pytest.mark.parametrize("command", ["convert", "fold"])
def test_what_cannot_be_written_is_a_usage_error_before_any_work(
    bnexport, stub_convert, tmp_path, monkeypatch, command, given, message
):
    monkeypatch.chdir(tmp_path)
    stub_convert(lambda *_, **__: pytest.fail("it began"))
    fold = SimpleNamespace(fold=lambda *_, **__: pytest.fail("it began"))
    monkeypatch.setitem(sys.modules, "bnexport.fold", fold)
    outcome = bnexport(command, "m", "-o", "out.onnx", "--report", given)
    assert (outcome.code, outcome.out) == (2, "")
    assert message in outcome.err
    assert os.listdir(tmp_path) == []


def test_a_verification_is_reported(bnexport, tmp_path, monkeypatch):
    monkeypatch.setattr("bnexport.compare.verify", lambda a, b, **_: parity(failed_check()))
    outcome = bnexport("verify", "a.onnx", "b.onnx", "--report", f"markdown={tmp_path}/r.md")
    assert outcome.code == 1
    assert (tmp_path / "r.md").read_text().startswith("## ❌ FAILED: <code>b.onnx</code>")


@pytest.mark.parametrize("name", ["a.onnx", "b.onnx"])
def test_what_is_verified_is_not_replaced(bnexport, tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    assert bnexport("verify", "a.onnx", "b.onnx", "--report", f"html={name}").code == 2


def test_what_verify_prints_is_of_the_documented_form(bnexport, tmp_path, monkeypatch):
    from bnexport.report.saved import read_report

    monkeypatch.setattr("bnexport.compare.verify", lambda a, b, **_: parity(failed_check()))
    (tmp_path / "r.json").write_text(bnexport("verify", "a.onnx", "b.onnx", "--json").out)
    assert read_report(tmp_path / "r.json")["b"] == "b.onnx"
