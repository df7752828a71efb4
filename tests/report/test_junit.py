import io
from xml.etree import ElementTree as ET

import junitparser
import pytest
from hostile_report import NAMES, hostile, nothing_compared, plain, verification
from sample_report import check, facts, failed_check, parity

from bnexport.printable import printable
from bnexport.report.junit import suites

FAILED = plain(facts(parity=parity(failed_check(), check(batch=1), check(kind="alone"))))


def read(report):
    return ET.fromstring(suites(report).encode("utf-8"))


def test_a_check_is_a_test_case():
    names = [case.get("name") for case in read(FAILED).iter("testcase")]
    assert names[:3] == [
        "logits at batch 8: agreement",
        "logits at batch 8: alone",
        "logits at batch 1: agreement",
    ]


def test_a_failure_says_what_is_wrong():
    (failure,) = read(FAILED).iter("failure")
    assert failure.get("type") == "agreement"
    assert "disagrees: ONNX Runtime has NaN at [0, 7]" in failure.get("message")
    assert failure.get("message") in failure.text


def test_a_failure_that_was_measured_has_its_numbers():
    given = parity(check(passed=False, relative=3e-3, limit=1e-3, ratio=3.0, detail="off"))
    (failure,) = read(plain(facts(parity=given))).iter("failure")
    assert "relative error 0.003, limit 0.001" in failure.text
    assert "3 times the limit" in failure.text


def test_a_skipped_runtime_is_a_skipped_case():
    (skipped,) = read(FAILED).iter("skipped")
    assert skipped.get("message") == "built for sm_89, not executed: no CUDA device"


def test_the_counts_are_those_of_the_cases():
    root = read(FAILED)
    assert [root.get(name) for name in ("tests", "failures", "errors", "skipped")] == list("4101")
    for suite in root:
        assert int(suite.get("tests")) == len(suite.findall("testcase"))
        assert int(suite.get("failures")) == len(suite.findall("testcase/failure"))


def test_nothing_compared_is_a_failure():
    failures = [failure.get("message") for failure in read(nothing_compared()).iter("failure")]
    assert failures == ["nothing was compared"]


def test_a_passing_report_has_no_failure():
    assert read(plain(facts())).find(".//failure") is None


def test_the_versions_are_properties_of_the_first_suite():
    first = read(FAILED)[0]
    assert first[0].tag == "properties"
    assert first.find("properties/property[@name='bnexport']") is not None


@pytest.mark.parametrize("name", NAMES)
def test_any_name_is_well_formed_and_read_back(name):
    cases = [case.get("name") for case in read(hostile(name)).iter("testcase")]
    assert f"{printable(name)} at batch 8: agreement" in cases


@pytest.mark.parametrize("name", NAMES)
def test_another_reader_takes_it(name):
    made = junitparser.JUnitXml.fromfile(io.BytesIO(suites(hostile(name)).encode("utf-8")))
    assert sum(suite.failures for suite in made) == 2


def test_a_verification_names_the_file_that_was_judged():
    root = read(verification(parity()))
    assert all(suite.get("name").startswith("model.onnx: ") for suite in root)
