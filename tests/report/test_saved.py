import json

import pytest
from hostile_report import NAMES, hostile, nothing_compared, plain, verification
from sample_report import facts, failed_check, parity

from bnexport.errors import Refused
from bnexport.report.saved import read_report

FAILED = plain(facts(parity=parity(failed_check())))


@pytest.fixture
def save(tmp_path):
    def put(data):
        path = tmp_path / "r.json"
        path.write_bytes(data if isinstance(data, bytes) else json.dumps(data).encode())
        return path

    return put


@pytest.mark.parametrize(
    "report",
    [FAILED, nothing_compared(), verification(parity(failed_check())), *map(hostile, NAMES)],
)
def test_a_report_is_read_as_it_was_written(save, report):
    assert read_report(save(report)) == report


def test_of_an_error_with_a_report_the_report_is_read(save):
    error = {"schema": "bnexport.error/1", "error": {}, "exit_code": 1, "report": FAILED}
    assert read_report(save(error)) == FAILED


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"\x80not json", "it is not JSON"),
        (b"", "it is not JSON"),
        (b"[" * 100_000, "it is not JSON"),
        (b'{"a": ' + b"9" * 5000 + b"}", "it is not JSON"),
        ([], "it is no JSON object"),
        ({}, "its schema is None"),
        ({"schema": "bnexport.report/9"}, "its schema is 'bnexport.report/9'"),
        ({"schema": "bnexport.error/1", "error": {}}, "an error that came before any check"),
        ({"schema": "bnexport.report/1"}, "created is missing"),
        (FAILED | {"surprise": 1}, "surprise is not documented"),
        (FAILED | {"ok": "yes"}, "'yes' is no boolean"),
        (verification(parity()) | {"parity": {}}, "is missing"),
    ],
)
def test_what_is_no_report_is_refused_with_the_reason_and_the_remedy(save, data, why):
    with pytest.raises(Refused) as caught:
        read_report(save(data))
    assert "r.json is no report" in caught.value.what
    assert why in caught.value.why
    assert "OUT.report.json" in caught.value.remedy


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(Refused, match="No such file"):
        read_report(tmp_path / "nowhere.json")
