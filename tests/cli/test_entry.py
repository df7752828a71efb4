import os
import subprocess
import sys

import pytest

import bnexport as package

HEAVY = ("torch", "onnx", "onnx_ir", "onnxruntime", "rich", "numpy")


def test_help_names_every_command(bnexport):
    shown = bnexport("--help").out
    assert all(
        name in shown
        for name in (
            "convert",
            "verify",
            "run",
            "bench",
            "fold",
            "inspect",
            "passes",
            "report",
            "doctor",
        )
    )


@pytest.mark.parametrize(
    "command",
    ["convert", "verify", "run", "bench", "fold", "inspect", "passes", "report", "doctor"],
)
def test_every_command_has_help(bnexport, command):
    outcome = bnexport(command, "--help")
    assert (outcome.code, outcome.err) == (0, "")
    assert outcome.out.startswith(f"Usage: bnexport {command} ")


def test_version_is_the_packages(bnexport):
    assert bnexport("--version").out == f"bnexport, version {package.__version__}\n"


def test_no_arguments_show_help_and_are_a_usage_error(bnexport):
    outcome = bnexport()
    assert outcome.code == 2
    assert "Commands:" in outcome.err


def test_an_unknown_command_is_a_usage_error(bnexport):
    outcome = bnexport("covnert")
    assert (outcome.code, outcome.out) == (2, "")
    assert "No such command 'covnert'" in outcome.err


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["convert", "--help"],
        ["convert", "--bad"],
        ["run", "--help"],
        ["bench", "--bad"],
        ["inspect", "--help"],
        ["drift", "--help"],
        ["drift", "net.pt", "--bad"],
        ["recalibrate", "--help"],
        ["compare-ranks", "--bad"],
    ],
)
def test_help_and_usage_errors_import_nothing_heavy(arguments):
    code = (
        f"import sys; from bnexport.cli import main; main({arguments!r}); "
        f"print('heavy:', [name for name in {HEAVY!r} if name in sys.modules])"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.endswith("heavy: []\n")


def test_the_module_runs_as_a_program():
    shown = subprocess.run([sys.executable, "-m", "bnexport", "nonsense"], capture_output=True)
    assert shown.returncode == 2


def test_a_closed_pipe_is_no_traceback():
    read, write = os.pipe()
    os.close(read)
    shown = subprocess.run(
        [sys.executable, "-m", "bnexport", "passes", "--json"], stdout=write, stderr=subprocess.PIPE
    )
    os.close(write)
    assert (shown.returncode, shown.stderr) == (0, b"")
