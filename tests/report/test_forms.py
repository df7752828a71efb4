import os
import subprocess
import sys
from pathlib import Path

import pytest
from hostile_report import plain
from sample_report import facts

from bnexport.cli.reports import KINDS
from bnexport.errors import OutputError, UsageError
from bnexport.report.forms import FORMS, Wanted, check_wanted, rendered, write

REPORT = plain(facts())


def test_the_command_line_names_every_form():
    assert tuple(FORMS) == KINDS


def test_rendering_imports_nothing_heavy(tmp_path):
    code = (
        "import sys, json; from bnexport.report.forms import FORMS, rendered; "
        "report = json.load(sys.stdin); [rendered(kind, report) for kind in FORMS]; "
        "print([m for m in ('torch', 'onnx', 'onnx_ir', 'numpy', 'rich') if m in sys.modules])"
    )
    from bnexport.report import dumps

    shown = subprocess.run(
        [sys.executable, "-c", code], input=dumps(REPORT), capture_output=True, text=True
    )
    assert shown.stdout == "[]\n"


def test_what_is_written_is_what_is_rendered(tmp_path):
    write([Wanted(kind, tmp_path / kind) for kind in FORMS], REPORT)
    for kind in FORMS:
        assert (tmp_path / kind).read_text(encoding="utf-8") == rendered(kind, REPORT)
    assert sorted(os.listdir(tmp_path)) == sorted(FORMS)


def test_an_older_file_stays_where_the_new_one_cannot_be_made(tmp_path, monkeypatch):
    (tmp_path / "r.html").write_text("older")
    monkeypatch.setattr("bnexport.report.html.page", lambda report: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        write([Wanted("html", tmp_path / "r.html")], REPORT)
    assert (tmp_path / "r.html").read_text() == "older"
    assert os.listdir(tmp_path) == ["r.html"]


@pytest.mark.parametrize("suffix", ["", ".report.json"])
def test_a_published_file_is_not_replaced(tmp_path, suffix):
    path = tmp_path / f"m.onnx{suffix}"
    path.write_text("model")
    report = REPORT | {"files": [REPORT["files"][0] | {"path": str(tmp_path / "m.onnx")}]}
    with pytest.raises(OutputError, match="what was published"):
        write([Wanted("html", path)], report)
    assert path.read_text() == "model"


def test_two_renderings_need_two_paths(tmp_path):
    wanted = [Wanted("html", tmp_path / "r"), Wanted("junit", tmp_path / "." / "r")]
    with pytest.raises(UsageError, match="given twice"):
        check_wanted(wanted)


def test_the_model_is_not_replaced(tmp_path):
    with pytest.raises(UsageError, match="given twice"):
        check_wanted([Wanted("html", tmp_path / "m.pt")], [None, str(tmp_path / "m.pt")])


@pytest.mark.parametrize("path", ["nowhere/r.html", "."])
def test_a_path_that_cannot_be_written_is_seen_before(tmp_path, monkeypatch, path):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(OutputError):
        check_wanted([Wanted("html", Path(path))])


def test_looking_makes_nothing(tmp_path):
    check_wanted([Wanted("html", tmp_path / "r.html")])
    assert os.listdir(tmp_path) == []
