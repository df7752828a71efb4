"""A worker that crashes, hangs, hungers or babbles: one error each, and the caller lives."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bnexport.errors import MissingRuntime, NativeFailure, Refused, UsageError
from bnexport.folders import cache_folder
from bnexport.isolation import Isolation, current, isolated
from bnexport.isolation.raised import StepError, raise_again, told
from bnexport.isolation.worker import Step, Worker


@pytest.fixture
def worker(planted):
    made = []

    def start(do, **limits):
        planted(x=do)
        made.append(Worker(Isolation(**limits)))
        return made[-1]

    yield start
    for each in made:
        each.close()


STEP = Step("x", "the step", "--without-it", {"model.onnx": b"what it was given"})


@pytest.mark.parametrize(
    ("do", "how"),
    [
        ("crash", r"the step crashed \(SIGSEGV\)"),
        ("abort", r"the step crashed \(SIGABRT\): terminate called after throwing"),
        ("leave", "the step ended with 3"),
        ("killed", r"the step was killed \(SIGKILL\): by somebody, or by the kernel"),
        ("babble", "the step answered nonsense"),
    ],
)
def test_a_crash_is_one_error(worker, do, how):
    broken = worker(do)
    with pytest.raises(NativeFailure, match=how) as raised:
        broken.call(STEP, {})
    assert raised.value.exit_code == 6
    assert not broken.alive
    assert "--without-it" in raised.value.remedy


@pytest.mark.parametrize("do", ["hang", "deaf"])
def test_a_hang_is_stopped(worker, do):
    stuck = worker(do, timeout=0.5)
    with pytest.raises(NativeFailure, match=r"no sign of life for 0\.5 s") as raised:
        stuck.call(STEP, {})
    assert "--timeout gives it longer" in raised.value.remedy
    assert not stuck.alive


def test_a_worker_that_does_not_read_is_stopped(worker):
    """The request is larger than what a socket holds."""
    stuck = worker("hang", timeout=0.5)
    stuck.warm("never mind")
    os.kill(stuck._process.pid, signal.SIGSTOP)
    with pytest.raises(NativeFailure, match="no sign of life"):
        stuck.call(STEP, {"long": "x" * (8 << 20)})


def test_a_hunger_for_memory_is_stopped(worker):
    hungry = worker("hog", memory=300 << 20)
    with pytest.raises(NativeFailure, match=r"more than 0\.3 GiB of memory") as raised:
        hungry.call(STEP, {})
    assert "--memory gives it more" in raised.value.remedy


def test_without_a_limit_the_machine_is_the_limit(worker, monkeypatch):
    monkeypatch.setattr("bnexport.isolation.worker.allowance", lambda process: 200 << 20)
    with pytest.raises(NativeFailure, match=r"more than 0\.2 GiB"):
        worker("hog").call(STEP, {})


def test_what_it_was_given_is_kept_for_a_report(worker):
    with pytest.raises(NativeFailure) as raised:
        worker("crash").call(STEP, {})
    (kept,) = (cache_folder() / "crashes").iterdir()
    assert str(kept) in raised.value.remedy
    assert (kept / "model.onnx").read_bytes() == b"what it was given"
    about = json.loads((kept / "about.json").read_text())
    assert (about["step"], about["how"]) == ("the step", "crashed (SIGSEGV)")


def test_only_the_latest_are_kept(worker):
    for number in range(14):
        (cache_folder() / "crashes" / f"2000-{number:02}").mkdir(parents=True)
    with pytest.raises(NativeFailure):
        worker("crash").call(STEP, {})
    assert len(list((cache_folder() / "crashes").iterdir())) == 10


def test_a_cache_that_cannot_be_written_hides_nothing(worker, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("BNEXPORT_CACHE", str(tmp_path / "file"))
    with pytest.raises(NativeFailure, match="SIGSEGV"):
        worker("crash").call(STEP, {})


def test_bytes_and_files_come_through_whole(worker, tmp_path):
    (tmp_path / "f").write_text("a file")
    heard = []
    large = os.urandom(3 << 20)
    with (tmp_path / "f").open("rb") as file:
        answer = worker("echo").call(
            STEP, {"a": [1]}, [b"", large, b"x"], [file.fileno()], heard.append
        )
    assert answer.head == {"arguments": {"a": [1]}, "files": ["a file"]}
    assert [bytes(blob) for blob in answer.blobs] == [b"", large, b"x"]
    assert heard == ["on it"]


def test_an_answer_cannot_be_changed_any_more(worker):
    (blob,) = worker("echo").call(STEP, {}, [b"sealed"]).blobs
    assert memoryview(blob).readonly


def test_what_a_step_raises_is_raised_and_the_worker_lives(worker):
    failing = worker("fail")
    with pytest.raises(StepError, match="what") as raised:
        failing.call(STEP, {})
    assert raised.value.kind == "KeyError"
    assert failing.alive


def test_our_errors_stay_ours():
    with pytest.raises(Refused) as raised:
        raise_again(json.loads(json.dumps(told(Refused("a", "b", "c")))))
    assert (raised.value.what, raised.value.why, raised.value.remedy) == ("a", "b", "c")


def test_an_interrupt_ends_the_step(worker):
    stuck = worker("hang")
    signal.setitimer(signal.ITIMER_REAL, 0.3)
    before = signal.signal(signal.SIGALRM, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            stuck.call(STEP, {})
    finally:
        signal.signal(signal.SIGALRM, before)
    assert not stuck.alive


@pytest.mark.parametrize("python", ["/no/such/python", "", None])
def test_no_process_can_be_started(python, monkeypatch):
    monkeypatch.setattr("sys.executable", python)
    with pytest.raises(MissingRuntime, match="--in-process"):
        Worker(Isolation())


@pytest.mark.parametrize("limits", [{"timeout": 0}, {"memory": 0}])
def test_limits_are_above_zero(limits):
    with pytest.raises(UsageError):
        Isolation(**limits)


ORPHAN = """
import os, sys
from bnexport.isolation import Isolation
from bnexport.isolation import worker
worker._START = sys.argv[1]
made = worker.Worker(Isolation())
print(made._process.pid, flush=True)
made.call(worker.Step("x", "x"), {})
"""


def test_it_dies_with_its_caller(planted):
    import bnexport.isolation.worker as module

    planted(x="deaf")
    with subprocess.Popen(
        [sys.executable, "-c", ORPHAN, module._START], stdout=subprocess.PIPE, text=True
    ) as caller:
        child = int(caller.stdout.readline())
        time.sleep(0.5)  # it is in native code, which reads no socket
        caller.kill()
    for _ in range(100):
        if not Path(f"/proc/{child}").exists() or _is_dead(child):
            return
        time.sleep(0.05)
    os.kill(child, signal.SIGKILL)
    pytest.fail("the worker outlived its caller")


def _is_dead(process):
    try:
        return Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[0] in "ZX"
    except OSError:
        return True


def test_what_lies_in_the_current_folder_is_not_imported(tmp_path, monkeypatch):
    (tmp_path / "numpy.py").write_text("open('ran', 'w')")
    (tmp_path / "json.py").write_text("open('ran', 'w')")
    monkeypatch.chdir(tmp_path)
    made = Worker(Isolation())
    try:
        invalid = made.call(Step("check", "the checker"), {}, [b"no model"])
    except StepError:
        invalid = None
    finally:
        made.close()
    assert invalid is None
    assert not (tmp_path / "ran").exists()


def test_the_outer_block_holds():
    with isolated(Isolation(timeout=5)):
        outer = current()
        with isolated(Isolation(timeout=9), foreign=True):
            assert current() is outer
        assert outer.foreign
    assert current() is None


def test_in_process_there_is_no_scope():
    with isolated(Isolation(in_process=True)):
        assert current() is None
