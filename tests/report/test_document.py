import hashlib
import json
import math
from datetime import UTC, datetime, timedelta, timezone
from importlib import resources
from pathlib import Path

import numpy as np
import pytest
from sample_report import check, facts, failed_check, parity

from bnexport.ledger import Ledger
from bnexport.report import OutputFile, document, dumps, ledger_json, versions, write_report
from bnexport.report.form import faults

SCHEMA = json.loads(resources.files("bnexport.report").joinpath("schema.json").read_text())
FAILED = facts(parity=parity(failed_check()))


@pytest.mark.parametrize("given", [facts(), FAILED, facts(ledger=Ledger())])
def test_a_document_is_of_the_documented_form(given):
    assert list(faults(json.loads(dumps(document(given))), SCHEMA, SCHEMA)) == []


def test_the_schema_refuses_a_field_that_is_not_documented():
    report = json.loads(dumps(document(facts()))) | {"surprise": 1}
    assert list(faults(report, SCHEMA, SCHEMA)) == ["$: surprise is not documented"]


def test_the_schema_documents_every_field_of_a_check():
    fields = set(document(facts())["parity"]["checks"][0])
    assert fields == set(SCHEMA["$defs"]["check"]["properties"])


def test_numbers_that_are_not_finite_become_strings():
    shown = document(FAILED)["parity"]["checks"][0]
    assert (shown["max_abs"], shown["relative"]) == ("NaN", "Infinity")


def test_the_text_is_strict_json():
    text = dumps({"a": math.nan, "b": -math.inf, "c": np.float32(0.5), "d": (1, 2)})
    assert json.loads(text, parse_constant=pytest.fail) == {
        "a": "NaN",
        "b": "-Infinity",
        "c": 0.5,
        "d": [1, 2],
    }


def test_ok_is_the_verdict_of_the_parity():
    assert document(facts())["ok"] is True
    assert document(FAILED)["ok"] is False


def test_the_date_is_written_in_utc():
    noon = datetime(2026, 5, 1, 12, tzinfo=timezone(timedelta(hours=2)))
    assert document(facts(), noon)["created"] == "2026-05-01T10:00:00Z"


def test_the_date_is_now_by_default():
    created = datetime.fromisoformat(document(facts())["created"])
    assert abs(datetime.now(UTC) - created) < timedelta(minutes=1)


def test_the_batch_axis_is_written_n():
    assert document(facts())["inputs"]["specs"] == [
        {"name": "x", "shape": ["N", 3, 32, 32], "dtype": "float32"}
    ]


def test_a_path_is_written_as_text():
    assert document(facts())["files"][0]["path"] == str(Path("out/resnet.onnx"))


def test_the_ledger_has_totals_and_rows():
    ledger = ledger_json(facts().ledger)
    assert ledger["totals"] == {"absorbed": 1, "merged": 1, "kept": 1, "unused": 1}
    assert [row["name"] for row in ledger["rows"]] == ["stem.bn", "head.bn", "tail.bn", "aux.bn"]


def test_a_report_without_checks_is_not_ok():
    nothing = parity(check())
    empty = type(nothing)(nothing.reference, ())
    assert document(facts(parity=empty))["ok"] is False


def test_versions_name_what_is_installed():
    found = versions()
    assert {"bnexport", "python", "platform", "torch", "onnx"} <= found.keys()
    assert "absent-package" not in found


def test_an_output_file_is_measured_where_it_is_staged(tmp_path):
    staged = tmp_path / "staged"
    staged.write_bytes(b"weights")
    found = OutputFile.read(staged, Path("out.onnx"), "onnx")
    assert (found.path, found.bytes) == (Path("out.onnx"), 7)
    assert found.sha256 == hashlib.sha256(b"weights").hexdigest()


def test_a_written_report_is_read_back_the_same(tmp_path):
    report = document(facts())
    write_report(tmp_path / "r.json", report)
    assert json.loads((tmp_path / "r.json").read_text(encoding="utf-8")) == report
