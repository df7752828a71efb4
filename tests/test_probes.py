"""A probe that fails, crashes or hangs is an outcome."""

import pytest

from bnexport.probes import run_probes


def outcome(body, **keywords):
    return run_probes({"it": body}, **keywords)["it"]


def test_facts_come_back():
    assert outcome("facts['version'] = '1.2'").facts == {"version": "1.2"}


def test_what_was_found_before_a_failure_is_kept():
    found = outcome("facts['a'] = 1\nraise OSError('lib\\nmissing')")
    assert (found.facts, found.error, found.absent) == ({"a": 1}, "OSError: lib missing", False)


def test_a_missing_module_is_absent():
    assert outcome("import no_such_module_here").absent


def test_noise_on_standard_output_does_no_harm():
    assert outcome("print('hello')\nfacts['a'] = 1").facts == {"a": 1}


@pytest.mark.parametrize(
    ("body", "ending"),
    [
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "SIGSEGV"),
        ("import os; os._exit(3)", "exit code 3"),
    ],
)
def test_a_crash_is_an_outcome(body, ending):
    assert outcome(body).error == f"its import ended Python ({ending})"


def test_a_hang_is_an_outcome():
    assert "did not end in 0 s" in outcome("import time; time.sleep(60)", timeout=0.2).error


def test_the_current_folder_is_not_imported_from(tmp_path, monkeypatch):
    (tmp_path / "torch.py").write_text("raise SystemExit('from the current folder')")
    monkeypatch.chdir(tmp_path)
    assert (
        "current folder"
        not in outcome(
            "import importlib.util as u; facts['t'] = u.find_spec('torch').origin"
        ).facts["t"]
    )
    assert (
        str(tmp_path)
        not in outcome(
            "import importlib.util as u; facts['t'] = u.find_spec('torch').origin"
        ).facts["t"]
    )
