"""A conversion that is ended from outside, or meets another one: nothing half done stays."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from torch import nn

import bnexport
from bnexport.cli.signals import terminable
from bnexport.errors import OutputError
from bnexport.publish import Staging

# The road stops at its first verification and waits to be ended.
WAITING = """
import signal, sys, time
for number in (signal.SIGHUP, signal.SIGTERM):  # nohup, and whoever runs the tests, may have them ignored
    signal.signal(number, signal.SIG_DFL)
signal.signal(signal.SIGINT, signal.default_int_handler)
from bnexport.cli import main
import bnexport.attempt

road = sys.modules["bnexport.attempt"]

def wait(*given, **more):
    print("here", file=sys.__stdout__, flush=True)
    time.sleep(600)

road.verify_build = wait
sys.exit(main())
"""


@pytest.fixture
def model(tmp_path):
    net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU())
    torch.save(net, tmp_path / "model.pt")
    return tmp_path / "model.pt"


@contextlib.contextmanager
def started(*arguments, code=WAITING):
    process = subprocess.Popen(
        [
            *(sys.executable, "-c", code, "convert", *map(str, arguments)),
            *("--input", "Nx3x8x8", "--simplify"),  # onnxsim runs in a process of its own
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            yield process
        finally:  # a test that fails does not wait
            process.kill()


def reached(process):
    """Its stdout is diverted to stderr while it works."""
    while "here" not in (line := process.stderr.readline()):
        assert line, "it ended early"


def state(process):
    """Its state and its parent; dead, where it is gone."""
    try:
        rest = Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()
    except OSError:
        return "X", 0
    return rest[0], int(rest[1])


def alive(process):
    return state(process)[0] not in "ZX"


def children(process):
    every = [int(each.name) for each in Path("/proc").glob("[0-9]*")]
    return [each for each in every if state(each)[1] == process and alive(each)]


@pytest.mark.parametrize(
    ("number", "code"),
    [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129), (signal.SIGKILL, -9)],
)
def test_nothing_half_done_stays(number, code, model, tmp_path):
    (tmp_path / "out.onnx").write_text("the older one")
    with started(model, "-o", tmp_path / "out.onnx") as process:
        reached(process)
        workers = children(process.pid)
        assert workers
        process.send_signal(number)
        said = process.communicate(timeout=60)[1]
    assert process.returncode == code
    assert "Traceback" not in said
    assert (tmp_path / "out.onnx").read_text() == "the older one"
    end = time.monotonic() + 10
    while any(map(alive, workers)):
        assert time.monotonic() < end, "a worker outlived it"
        time.sleep(0.05)
    left = {path.name for path in tmp_path.iterdir()} - {"model.pt", "out.onnx"}
    if number == signal.SIGKILL:
        assert left
        with Staging(tmp_path / "another.onnx"):  # the next run, whatever it writes
            pass
        left = {path.name for path in tmp_path.iterdir()} - {"model.pt", "out.onnx"}
    assert not left


def test_of_two_at_once_one_wins_and_the_other_says_so(model, tmp_path):
    with started(model, "-o", tmp_path / "out.onnx") as first:
        reached(first)
        with started(model, "-o", tmp_path / "out.onnx") as second:
            said = second.communicate(timeout=60)[1]
        assert second.returncode == 2
        assert f"out.onnx is being written by another bnexport\n  process {first.pid}\n" in said
        first.kill()


def test_a_folder_that_vanishes_is_an_error_of_the_destination(model, tmp_path):
    (tmp_path / "place").mkdir()
    vanish = "__import__('shutil').rmtree(sys.argv[4].rsplit('/', 1)[0])"
    code = WAITING.replace("time.sleep(600)", f"{vanish}; return real(*given, **more)")
    code = code.replace(
        "road.verify_build = wait", "real = road.verify_build; road.verify_build = wait"
    )
    with started(model, "-o", tmp_path / "place" / "out.onnx", code=code) as process:
        said = process.communicate(timeout=60)[1]
    assert "Traceback" not in said
    assert process.returncode in (1, 2), said
    assert not (tmp_path / "place").exists()


def test_a_folder_that_cannot_be_written_is_refused_before_the_model_is_read(tmp_path):
    with pytest.raises(OutputError, match="does not exist"):
        bnexport.convert(tmp_path / "no model", tmp_path / "no folder" / "out.onnx")


def test_a_signal_that_the_caller_ignores_stays_ignored():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with terminable():
            os.kill(os.getpid(), signal.SIGHUP)
            assert signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    finally:
        signal.signal(signal.SIGHUP, before)
