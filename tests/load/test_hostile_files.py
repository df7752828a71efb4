"""Thousands of hostile files: nothing of them runs (the whole lot, as ``benchmarks/hostile.py`` reads it)."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

HOSTILE = Path(__file__).resolve().parents[1] / "hostile"


def output(script, *arguments):
    command = [sys.executable, str(HOSTILE / script), *map(str, arguments)]
    # The machine that tests may be busy: the benchmark holds them to 10 seconds.
    patient = os.environ | {"HOSTILE_SECONDS": "60"}
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=patient)
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    return output("judge.py", tmp_path_factory.mktemp("hostile"), 0)


def test_there_are_thousands(rows):
    kinds = [row["kind"] for row in rows if not row["road"]]
    assert kinds.count("pickle") > 4000
    assert kinds.count("gadget") > 300
    assert len(kinds) - kinds.count("pickle") - kinds.count("gadget") > 50


@pytest.mark.parametrize(
    ("what", "is_so"),
    [
        ("fires a canary", lambda row: row["fired"]),
        ("does anything that an audit hook hears", lambda row: row["events"]),
        ("breaks the reader", lambda row: row["outcome"] == "traceback"),
        ("hangs it", lambda row: row["outcome"] == "hang"),
    ],
)
def test_no_file(what, is_so, rows):
    assert [row for row in rows if is_so(row)] == []


def test_what_is_read_is_what_is_harmless(rows):
    """The weights beside a call, a class without the state that it would run; guards are left out."""
    for row in rows:
        if row["outcome"] == "read":
            beside = row["kind"] == "pickle" and row["road"]
            harmless = row["name"].startswith(("guard", "the state of ", "branches", "items of"))
            assert beside or harmless, row


def test_the_canaries_work(tmp_path):
    (fired,) = output("believe.py", tmp_path)
    assert fired["pickle"] > 2000
    assert fired["gadget"] > 100
    assert fired["pt2"] >= 3
