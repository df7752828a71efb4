import json
from dataclasses import replace
from pathlib import Path

import jsonschema
import pytest
from hostile_report import NAMES, hostile, nothing_compared, plain, verification
from sample_report import check, facts, failed_check, parity

from bnexport.parity.result import Wrong
from bnexport.report.sarif import log

SCHEMA = Path(__file__).with_name("sarif-schema-2.1.0.json")  # OASIS's, as it is
FAILED = plain(facts(parity=parity(failed_check(), check())))
REPORTS = [plain(facts()), FAILED, nothing_compared(), verification(parity(failed_check()))]


def run(report):
    return json.loads(log(report))["runs"][0]


def results(report, rule):
    return [result for result in run(report)["results"] if result["ruleId"] == rule]


def required(report):
    """What the standard requires of the parts of it that are used."""
    made = json.loads(log(report))
    assert made["version"] == "2.1.0"
    (run,) = made["runs"]
    rules = run["tool"]["driver"]["rules"]
    assert run["tool"]["driver"]["name"] == "bnexport"
    assert len({rule["id"] for rule in rules}) == len(rules)
    for invocation in run["invocations"]:
        assert invocation["executionSuccessful"] in (True, False)
        assert all(note["message"]["text"] for note in invocation["toolExecutionNotifications"])
    for result in run["results"]:
        assert rules[result["ruleIndex"]]["id"] == result["ruleId"]
        assert result["level"] in ("none", "note", "warning", "error")
        assert result["message"]["text"]
        for location in result["locations"]:
            assert all(each["fullyQualifiedName"] for each in location.get("logicalLocations", ()))


@pytest.mark.parametrize("report", REPORTS)
def test_what_the_standard_requires_is_there(report):
    required(report)


@pytest.mark.parametrize("name", NAMES)
def test_it_is_there_whatever_the_names_are(name):
    required(hostile(name))
    log(hostile(name)).encode("utf-8")


@pytest.mark.parametrize("report", [*REPORTS, *map(hostile, NAMES)])
def test_the_official_schema_takes_it(report):
    schema = json.loads(SCHEMA.read_text())
    validator = jsonschema.validators.validator_for(schema)(
        schema, format_checker=jsonschema.FormatChecker()
    )
    assert [error.message for error in validator.iter_errors(json.loads(log(report)))] == []


def test_a_failed_check_is_an_error():
    (result,) = results(FAILED, "agreement")
    assert result["level"] == "error"
    assert "disagrees: ONNX Runtime has NaN" in result["message"]["text"]


def test_a_disagreement_lies_in_the_layer_where_it_starts():
    wrong = Wrong("conv_7", "Conv", "stem.conv", "off by 0.3", 5)
    given = replace(parity(failed_check()), located=str(wrong), origin=wrong)
    (result,) = results(plain(facts(parity=given)), "agreement")
    (place,) = result["locations"][0]["logicalLocations"]
    assert place == {"fullyQualifiedName": "stem.conv", "kind": "layer"}
    assert "It starts in layer 'stem.conv'" in result["message"]["text"]


def test_without_a_layer_it_lies_in_the_output():
    (result,) = results(FAILED, "agreement")
    (place,) = result["locations"][0]["logicalLocations"]
    assert place == {"fullyQualifiedName": "logits", "kind": "output"}


def test_a_batch_norm_kept_for_a_reason_is_a_warning_at_its_layer():
    (result,) = results(plain(facts()), "kept")
    assert result["level"] == "warning"
    assert result["message"]["text"].endswith("is kept: its input is read by two others")
    assert result["locations"][0]["logicalLocations"][0]["fullyQualifiedName"] == "tail.bn"


def test_a_passing_report_has_no_error():
    assert not [each for each in run(plain(facts()))["results"] if each["level"] == "error"]


def test_nothing_compared_is_an_error():
    assert len(results(nothing_compared(), "nothing")) == 1


def test_what_was_skipped_is_a_note():
    (note,) = run(FAILED)["invocations"][0]["toolExecutionNotifications"]
    assert note["level"] == "note"
    assert "no CUDA device" in note["message"]["text"]


def test_a_message_holds_no_link_and_no_placeholder():
    (result,) = results(hostile("[a](b) {0}"), "kept")
    text = result["message"]["text"]
    assert "\\[a\\](b)" in text
    assert "{{0}}" in text


@pytest.mark.parametrize(
    ("path", "uri"),
    [("a b/c:d#.pt", "a%20b/c%3Ad%23.pt"), ("/x/é.pt", "file:///x/%C3%A9.pt")],
)
def test_the_file_is_a_uri(path, uri):
    report = plain(facts(parity=parity(failed_check())))
    report["source"]["path"] = path
    (result,) = results(report, "agreement")
    assert result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] == uri
