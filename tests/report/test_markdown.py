import re
from dataclasses import replace

import pytest
from hostile_report import NAMES, hostile, nothing_compared, plain, verification
from sample_report import check, facts, failed_check, parity

from bnexport.ledger import Ledger, LedgerRow
from bnexport.report.html import page
from bnexport.report.markdown import SHOWN, summary

FAILED = plain(facts(parity=parity(failed_check(), check(batch=1))))


def shape(text):
    """What Markdown sees of each line: how it begins, and how many cells it has."""
    return [(re.match(r"[#|-]*", line)[0], line.count("|")) for line in text.splitlines()]


def test_the_verdict_is_the_heading():
    assert summary(plain(facts())).startswith("## ✅ passed: <code>resnet.pt</code>\n")
    assert summary(FAILED).startswith("## ❌ FAILED: <code>resnet.pt</code>\n")


def test_a_run_is_a_row():
    rows = [line for line in summary(FAILED).splitlines() if "<code>ONNX Runtime" in line]
    assert [row.split(" | ")[2] for row in rows] == ["8", "1"]
    assert rows[0].endswith("| **FAIL** |")
    assert "| 4.0e-07 | 1.5e-06 | 0.27 | - | ok |" in rows[1]


def test_a_failure_is_told():
    text = summary(FAILED)
    assert "### What failed" in text
    assert "ONNX Runtime has NaN at &#91;0, 7&#93;" in text


def test_where_a_disagreement_starts_is_told():
    given = replace(parity(failed_check()), located="layer 'stem'")
    assert "It starts in layer 'stem'." in summary(plain(facts(parity=given)))


@pytest.mark.parametrize("name", NAMES)
def test_a_name_changes_no_structure(name):
    assert shape(summary(hostile(name))) == shape(summary(hostile("layer")))


@pytest.mark.parametrize("name", NAMES)
def test_a_name_is_no_markup(name):
    text = re.sub(r"</?code>", "", summary(hostile(name)))
    assert not re.search(r"[`<>\[\]@~]", text)


@pytest.mark.parametrize("start", ["- a", "+ a", "1. a", "12) a", "---", "=== a"])
def test_a_name_that_begins_like_a_list_is_no_list(start):
    rows = (LedgerRow(start, "BatchNorm2d", 3, "kept", reason="why"),)
    text = summary(plain(facts(ledger=Ledger(rows))))
    assert re.search(r"^- &#\d+;", text, re.MULTILINE)


def test_a_long_name_is_cut():
    assert max(map(len, summary(hostile("x" * 100_000)).splitlines())) < 4000


def test_many_failures_are_counted():
    given = parity(*(failed_check(output=f"o{i}") for i in range(SHOWN + 7)))
    text = summary(plain(facts(parity=given)))
    assert "- and 7 more" in text
    assert text.count("disagrees") == SHOWN


def test_what_was_skipped_is_said():
    assert "no CUDA device" in summary(FAILED)


def test_nothing_compared_is_said():
    text = summary(nothing_compared())
    assert text.startswith("## ❌ FAILED")
    assert "Nothing was compared" in text


def test_a_verification_is_shown_without_a_ledger():
    text = summary(verification(parity()))
    assert "BatchNorm" not in text
    assert text.startswith("## ✅ passed: <code>model.onnx</code>")


def test_what_stays_in_float32_is_listed():
    lowered = {
        "asked": "mixed",
        "dtype": "float16",
        "io": "float32",
        "nodes": 8,
        "trials": 3,
        "stays": [
            {
                "value": "v",
                "module": "a|b",
                "kind": "Conv1d",
                "operator": "Conv",
                "reason": "its output reaches 1e5",
            }
        ],
    }
    text = summary({**plain(facts()), "precision": lowered})
    assert "float16 in 8 nodes, float32 in 1, found in 3 trials" in text
    assert "a&#124;b (Conv): its output reaches 1e5" in text
    page_ = page({**plain(facts()), "precision": lowered})
    assert "<h2>Precision</h2>" in page_
    assert "<code>a|b</code>" in page_
