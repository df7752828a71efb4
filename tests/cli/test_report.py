import json
import subprocess
import sys

import pytest
from hostile_report import hostile, plain, verification
from sample_report import check, facts, failed_check, parity

from bnexport.report.forms import FORMS, rendered

FAILED = plain(facts(parity=parity(failed_check())))
OFF = check(relative=3e-6, max_abs=1e-5, ratio=2.0, peak_limit=1e-5, passed=False, detail="off")


@pytest.fixture
def saved(tmp_path):
    def put(report):
        path = tmp_path / "r.json"
        path.write_text(json.dumps(report))
        return str(path)

    return put


def test_a_report_is_shown_as_the_command_showed_it(bnexport, saved):
    outcome = bnexport("report", "show", saved(FAILED))
    assert outcome.code == 0
    assert outcome.out.startswith("model     resnet.pt (checkpoint")
    assert "FAIL" in outcome.out


def test_no_file_is_said_to_be_written_where_the_verification_failed(bnexport, saved):
    assert "wrote" in bnexport("report", "show", saved(plain(facts()))).out
    assert "wrote" not in bnexport("report", "show", saved(FAILED)).out


def test_a_verification_is_shown(bnexport, saved):
    outcome = bnexport("report", "show", saved(verification(parity())))
    assert outcome.out.startswith("agreement held against PyTorch")


@pytest.mark.parametrize("kind", FORMS)
def test_it_is_rendered_to_standard_output(bnexport, saved, kind):
    outcome = bnexport("report", "show", saved(FAILED), "--format", kind)
    assert outcome.out == rendered(kind, FAILED)


def test_it_is_rendered_to_a_file(bnexport, saved, tmp_path):
    place = str(tmp_path / "r.html")
    outcome = bnexport("report", "show", saved(FAILED), "--format", "html", "-o", place)
    assert (outcome.code, outcome.out) == (0, "")
    assert (tmp_path / "r.html").read_text(encoding="utf-8") == rendered("html", FAILED)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["-o", "r.html"], "Missing option '--format'"),
        (["--format", "pdf"], "'pdf' is not one of 'html'"),
        (["--format", "html", "-o", "nowhere/r"], "folder nowhere does not exist"),
    ],
)
def test_a_usage_error_names_what_is_wrong(bnexport, saved, arguments, message):
    outcome = bnexport("report", "show", saved(FAILED), *arguments)
    assert (outcome.code, outcome.out) == (2, "")
    assert message in outcome.err


def test_the_report_itself_is_not_replaced(bnexport, saved):
    path = saved(FAILED)
    assert bnexport("report", "show", path, "--format", "html", "-o", path).code == 2


def test_what_is_no_report_is_refused(bnexport, tmp_path):
    (tmp_path / "notes.txt").write_text("no report")
    outcome = bnexport("report", "show", str(tmp_path / "notes.txt"))
    assert (outcome.code, outcome.out) == (3, "")
    assert "notes.txt is no report" in outcome.err
    assert "Give OUT.report.json" in outcome.err


def test_a_terminal_without_unicode_gets_bytes(saved):
    path = saved(hostile("é\ud800"))
    for kind in FORMS:
        shown = subprocess.run(
            [sys.executable, "-m", "bnexport", "report", "show", path, "--format", kind],
            capture_output=True,
            env={"PYTHONIOENCODING": "ascii", "PATH": "/usr/bin"},
        )
        assert (shown.returncode, shown.stderr) == (0, b"")
        assert "é" in shown.stdout.decode("utf-8")


def test_errors_are_judged_by_another_multiple(bnexport, saved):
    path = saved(plain(facts(parity=parity(OFF))))
    assert bnexport("report", "rejudge", path, "--multiple", "5").code == 1
    assert bnexport("report", "rejudge", path, "--multiple", "20").code == 0


def test_errors_are_judged_by_tolerances(bnexport, saved):
    path = saved(plain(facts(parity=parity(OFF))))
    assert bnexport("report", "rejudge", path, "--atol", "1e-4").code == 0
    outcome = bnexport("report", "rejudge", path, "--atol", "1e-6")
    assert outcome.code == 1
    assert "error as a multiple of the tolerances given" in " ".join(outcome.out.split())


def test_what_is_not_recorded_is_an_error(bnexport, saved):
    path = saved(plain(facts(parity=parity(OFF))))
    outcome = bnexport("report", "rejudge", path, "--rtol", "1e-3")
    assert (outcome.code, outcome.out) == (3, "")
    assert "cannot be judged from the report" in outcome.err


@pytest.mark.parametrize("arguments", [[], ["--multiple", "2", "--atol", "1"], ["--multiple", "0"]])
def test_one_rule_must_be_given(bnexport, saved, arguments):
    assert bnexport("report", "rejudge", saved(FAILED), *arguments).code == 2


def test_the_new_verdict_is_a_report(bnexport, saved, tmp_path):
    path = saved(plain(facts(parity=parity(OFF))))
    place = tmp_path / "new.md"
    outcome = bnexport(
        *("report", "rejudge", path, "--atol", "1", "--json", "--report", f"markdown={place}")
    )
    document = json.loads(outcome.out)
    assert (document["schema"], document["ok"]) == ("bnexport.report/1", True)
    assert place.read_text(encoding="utf-8") == rendered("markdown", document)


@pytest.mark.parametrize("arguments", [["show"], ["rejudge", "--atol", "1"]])
def test_nothing_heavy_is_imported(saved, arguments):
    command, *rest = arguments
    given = ["report", command, saved(plain(facts())), *rest, "--quiet"]
    code = (
        f"import sys; from bnexport.cli import main; code = main({given!r}); "
        "print(code, [m for m in ('torch', 'onnx', 'onnx_ir', 'numpy') if m in sys.modules])"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert shown.stdout == "0 []\n"
