import json

import pytest

import bnexport.doctor
from bnexport.doctor import Finding

FINE = Finding("torch", "ok", "2.13.0")
ABSENT = Finding("tensorrt", "missing", "not installed", "pip install tensorrt")


@pytest.fixture
def findings(monkeypatch):
    def put(*found):
        monkeypatch.setattr(bnexport.doctor, "diagnose", lambda: found)

    return put


def test_a_missing_runtime_is_no_illness(bnexport, findings):
    findings(FINE, ABSENT)
    outcome = bnexport("doctor")
    assert outcome.code == 0
    assert outcome.out == (
        "  subject   status   detail\n"
        "  torch     ok       2.13.0\n"
        "  tensorrt  missing  not installed\n"
        "                     -> pip install tensorrt\n"
    )


@pytest.mark.parametrize("status", ["clash", "broken"])
def test_an_illness_leaves_with_5(bnexport, findings, status):
    findings(FINE, Finding("onnxruntime", status, "two packages"))
    assert bnexport("doctor").code == 5


def test_an_illness_is_shown_in_spite_of_quiet(bnexport, findings):
    findings(Finding("onnxruntime", "clash", "two packages"))
    assert "two packages" in bnexport("doctor", "--quiet").out


def test_the_findings_as_json(bnexport, findings):
    findings(FINE, ABSENT)
    found = json.loads(bnexport("doctor", "--json").out)
    assert (found["schema"], found["ok"]) == ("bnexport.diagnosis/1", True)
    assert [each["status"] for each in found["findings"]] == ["ok", "missing"]
