import pytest
from hostile_report import nothing_compared, plain, verification
from sample_report import check, facts, failed_check, parity

from bnexport.report.reading import about, ledger_rows, subject, verdict


def test_a_conversion_is_about_its_model():
    assert about(plain(facts())) == "resnet.pt, converted to onnx, trt-rtx"


def test_a_model_without_a_file_has_its_name():
    report = plain(facts())
    report["source"]["path"] = None
    assert subject(report) == "resnet"


def test_a_verification_is_about_the_file_that_was_judged():
    assert about(verification(parity())) == "model.onnx, judged by model.pt"
    assert ledger_rows(verification(parity())) == []


@pytest.mark.parametrize(
    ("checks", "words"),
    [
        ((check(), check()), "all 2 checks passed"),
        ((check(),), "the only check passed"),
        ((check(), failed_check()), "1 of 2 checks failed"),
    ],
)
def test_the_verdict_counts(checks, words):
    assert verdict(plain(facts(parity=parity(*checks)))) == words


def test_the_verdict_on_nothing():
    assert verdict(nothing_compared()) == "nothing was compared"
