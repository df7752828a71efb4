"""Staging: files arrive together or not at all, whatever stops the process."""

import errno
import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from bnexport import publish
from bnexport.disk import file_sha256
from bnexport.errors import OutputError
from bnexport.publish import Staging

OLD = {"m.onnx": b"old m.0123456789abcdef.data", "m.onnx.json": b"old facts"}
NEW = {"m.onnx": b"new m.fedcba9876543210.data", "m.onnx.json": b"new facts"}
OLD_DATA, NEW_DATA = "m.0123456789abcdef.data", "m.fedcba9876543210.data"


def put(folder: Path, files: dict[str, bytes]) -> None:
    for name, content in files.items():
        (folder / name).write_bytes(content)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


@pytest.fixture
def old(tmp_path):
    put(tmp_path, {**OLD, OLD_DATA: b"old weights"})
    return contents(tmp_path)


def stage(staging: Staging) -> list[str]:
    put(staging.folder, {**NEW, NEW_DATA: b"new weights"})
    return ["m.onnx.json", NEW_DATA]


def test_committed_files_arrive_and_nothing_else_stays(tmp_path):
    with Staging(tmp_path / "m.onnx") as staging:
        put(staging.folder, {**NEW, "scratch": b"not published"})
        paths = staging.commit("m.onnx", ["m.onnx.json"])
    assert contents(tmp_path) == NEW
    assert paths == (tmp_path / "m.onnx", tmp_path / "m.onnx.json")
    assert names(tmp_path) == set(NEW)


def test_the_staging_folder_is_on_the_destinations_file_system(tmp_path):
    with Staging(tmp_path / "m.onnx") as staging:
        assert staging.folder.parent == tmp_path
        assert staging.folder.name.startswith(".m.onnx.")
        assert f".bnexport-{os.getpid()}-" in staging.folder.name


def test_without_a_commit_nothing_changes(tmp_path, old):
    with Staging(tmp_path / "m.onnx") as staging:
        stage(staging)
    assert contents(tmp_path) == old
    assert names(tmp_path) == set(old)


def test_an_exception_leaves_the_older_files(tmp_path, old):
    def build():
        with Staging(tmp_path / "m.onnx") as staging:
            stage(staging)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build()
    assert contents(tmp_path) == old
    assert names(tmp_path) == set(old)


def test_data_files_move_first_and_the_main_file_last(tmp_path, old, monkeypatch):
    moved = []
    real = os.replace
    monkeypatch.setattr(os, "replace", lambda a, b: (moved.append(Path(b).name), real(a, b)))
    with Staging(tmp_path / "m.onnx") as staging:
        others = stage(staging)
        staging.commit("m.onnx", others)
    assert [name for name in moved if name != "moves"] == [NEW_DATA, "m.onnx.json", "m.onnx"]


@pytest.mark.parametrize("fails_at", ["moves", NEW_DATA, "m.onnx.json", "m.onnx"])
@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left"), KeyboardInterrupt()])
def test_a_commit_that_fails_midway_is_undone(tmp_path, old, monkeypatch, fails_at, error):
    real = os.replace

    def replace(source, target):
        if Path(target).name == fails_at:
            monkeypatch.setattr(os, "replace", real)
            raise error
        real(source, target)

    expected = OutputError if isinstance(error, OSError) else KeyboardInterrupt
    with Staging(tmp_path / "m.onnx") as staging:
        others = stage(staging)
        monkeypatch.setattr(os, "replace", replace)
        with pytest.raises(expected):
            staging.commit("m.onnx", others)
    assert contents(tmp_path) == old
    assert names(tmp_path) == set(old)


def test_a_failed_first_commit_leaves_no_file(tmp_path, monkeypatch):
    real = os.replace

    def replace(source, target):
        if Path(target).name == "m.onnx":
            raise OSError(errno.EIO, "Input/output error")
        real(source, target)

    monkeypatch.setattr(os, "replace", replace)
    with Staging(tmp_path / "m.onnx") as staging:
        others = stage(staging)
        with pytest.raises(OutputError, match="Input/output"):
            staging.commit("m.onnx", others)
    assert names(tmp_path) == set()


def test_a_missing_staged_file_publishes_nothing(tmp_path, old):
    with Staging(tmp_path / "m.onnx") as staging:
        put(staging.folder, NEW)
        with pytest.raises(OutputError):
            staging.commit("m.onnx", ["forgotten"])
    assert contents(tmp_path) == old


@pytest.mark.parametrize("name", ["../m.onnx", "a/b"])
def test_only_plain_names_are_published(tmp_path, name):
    with Staging(tmp_path / "m.onnx") as staging, pytest.raises(OutputError, match="plain"):
        staging.commit(name)


def test_undoing_can_be_interrupted_and_begun_again(tmp_path, old, monkeypatch):
    real = os.replace
    staged = tmp_path / ".m.onnx.01234567.bnexport-1-00000000"
    staged.mkdir()
    put(staged, {**NEW, NEW_DATA: b"new weights"})
    order = [NEW_DATA, "m.onnx.json", "m.onnx"]
    publish._keep_previous(staged, order)
    for name in order[:2]:
        real(staged / name, tmp_path / name)

    def stop_after_the_first(source, target):
        real(source, target)
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", stop_after_the_first)
    with pytest.raises(KeyboardInterrupt):
        publish._undo(staged)
    monkeypatch.setattr(os, "replace", real)
    publish._settle(staged)
    assert contents(tmp_path) == old
    assert names(tmp_path) == set(old)


KILLED = """
import os, signal, sys
from pathlib import Path
from bnexport import publish
folder, when, data = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
real = os.replace
def replace(source, target):
    if Path(target).name == when:
        os.kill(os.getpid(), signal.SIGKILL)
    real(source, target)
    if "after " + Path(target).name == when:
        os.kill(os.getpid(), signal.SIGKILL)
os.replace = replace
with publish.Staging(folder / "m.onnx") as staging:
    (staging.folder / "m.onnx").write_bytes(b"new " + data.encode())
    (staging.folder / "m.onnx.json").write_bytes(b"new facts")
    (staging.folder / data).write_bytes(b"new weights")
    if when == "build":
        os.kill(os.getpid(), signal.SIGKILL)
    staging.commit("m.onnx", ["m.onnx.json", data])
"""


def kill(folder: Path, when: str) -> None:
    ended = subprocess.run([sys.executable, "-c", KILLED, str(folder), when, NEW_DATA], check=False)
    assert ended.returncode == -signal.SIGKILL


@pytest.mark.parametrize("when", ["build", "moves", NEW_DATA, "m.onnx.json", "m.onnx"])
def test_kill_before_the_commit_point_leaves_the_older_artifact(tmp_path, old, when):
    kill(tmp_path, when)
    assert (tmp_path / "m.onnx").read_bytes() == old["m.onnx"]
    assert (tmp_path / OLD_DATA).read_bytes() == old[OLD_DATA]
    with Staging(tmp_path / "other.onnx"):
        assert contents(tmp_path) == old  # swept, and the sidecar put back
    assert names(tmp_path) == set(old)


def test_kill_after_the_commit_point_leaves_the_new_artifact(tmp_path, old):
    kill(tmp_path, "after m.onnx")
    with Staging(tmp_path / "m.onnx"):
        pass
    assert {name: contents(tmp_path)[name] for name in NEW} == NEW
    assert (tmp_path / NEW_DATA).exists()


def test_stale_data_of_a_killed_commit_is_swept(tmp_path, old):
    kill(tmp_path, "after m.onnx")
    with Staging(tmp_path / "m.onnx"):
        assert names(tmp_path) - {OLD_DATA} == names(tmp_path)


def test_a_commit_beside_a_killed_one_is_not_undone_later(tmp_path, old):
    with Staging(tmp_path / "other.onnx") as staging:
        put(staging.folder, {"m.onnx": b"mine", "m.onnx.json": b"my facts"})
        kill(tmp_path, "m.onnx")
        staging.commit("m.onnx", ["m.onnx.json"])
    with Staging(tmp_path / "m.onnx"):
        pass
    assert {name: contents(tmp_path)[name] for name in NEW} == {
        "m.onnx": b"mine",
        "m.onnx.json": b"my facts",
    }


def test_a_living_process_is_not_swept(tmp_path):
    with Staging(tmp_path / "m.onnx") as first:
        put(first.folder, NEW)
        with Staging(tmp_path / "other.onnx"):
            assert contents(first.folder) == NEW


def test_one_destination_is_for_one_process(tmp_path):
    with Staging(tmp_path / "m.onnx") as first:
        with pytest.raises(OutputError, match=f"another bnexport: process {os.getpid()}"):
            Staging(tmp_path / "m.onnx").__enter__()
        assert names(tmp_path) == {first.folder.name}
    with Staging(tmp_path / "m.onnx"):
        pass


def test_names_that_are_cut_off_are_told_apart(tmp_path):
    with Staging(tmp_path / ("m" * 150 + ".onnx")), Staging(tmp_path / ("m" * 150 + ".data")):
        pass


def test_a_small_file_waits_for_its_turn(tmp_path):
    with Staging(tmp_path / "state") as first:
        waiting = threading.Thread(target=publish.publish_bytes, args=(tmp_path / "state", b"2"))
        waiting.start()
        (first.folder / "state").write_bytes(b"1")
        first.commit("state")
        assert (tmp_path / "state").read_bytes() == b"1"
    waiting.join()
    assert (tmp_path / "state").read_bytes() == b"2"


def test_a_strangers_folder_is_not_obeyed(tmp_path, monkeypatch):
    (tmp_path / "precious").write_bytes(b"kept")
    trap = tmp_path / ".m.onnx.bnexport-1-00000000"
    (trap / ".commit").mkdir(parents=True)
    (trap / "m.onnx").write_bytes(b"")
    (trap / ".commit" / "moves").write_text(json.dumps([["precious", False], ["m.onnx", False]]))
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    with Staging(tmp_path / "m.onnx"):
        assert (tmp_path / "precious").exists()


def test_data_that_only_the_replaced_file_named_is_removed(tmp_path, old):
    unrelated = tmp_path / "m.00000000deadbeef.data"
    unrelated.write_bytes(b"named by nobody we replaced")
    with Staging(tmp_path / "m.onnx") as staging:
        others = stage(staging)
        staging.commit("m.onnx", others)
    assert names(tmp_path) == {*NEW, NEW_DATA, unrelated.name}


def test_data_that_another_onnx_file_names_is_kept(tmp_path, old):
    (tmp_path / "copy.onnx").write_bytes(OLD["m.onnx"])
    with Staging(tmp_path / "m.onnx") as staging:
        others = stage(staging)
        staging.commit("m.onnx", others)
    assert (tmp_path / OLD_DATA).exists()


def test_the_same_weights_again_are_kept(tmp_path, old):
    with Staging(tmp_path / "m.onnx") as staging:
        put(staging.folder, {"m.onnx": OLD["m.onnx"] + b"!", OLD_DATA: b"old weights"})
        staging.commit("m.onnx", [OLD_DATA])
    assert (tmp_path / OLD_DATA).read_bytes() == b"old weights"


def test_commits_to_one_folder_wait_for_each_other(tmp_path):
    with Staging(tmp_path / "m.onnx") as staging:
        put(staging.folder, NEW)
        with publish.locked(tmp_path):
            thread = threading.Thread(target=staging.commit, args=("m.onnx", ["m.onnx.json"]))
            thread.start()
            thread.join(0.1)
            assert not (tmp_path / "m.onnx").exists()
        thread.join()
        assert (tmp_path / "m.onnx").exists()


def test_a_missing_folder_is_named_with_the_command_that_makes_it(tmp_path):
    missing = tmp_path / "no" / "such"
    with pytest.raises(OutputError, match=f"mkdir -p {missing}"):
        Staging(missing / "m.onnx")


def test_a_folder_is_no_destination(tmp_path):
    with pytest.raises(OutputError, match="is a folder"):
        Staging(tmp_path)


def test_a_file_where_the_folder_should_be_is_said(tmp_path):
    (tmp_path / "f").write_bytes(b"")
    with pytest.raises(OutputError):
        Staging(tmp_path / "f" / "m.onnx")


def test_a_pipe_is_no_destination(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OutputError, match="regular file"):
        Staging(tmp_path / "pipe")


def test_a_folder_that_cannot_be_written_is_an_output_error():
    with pytest.raises(OutputError, match=r"/proc/m\.onnx"), Staging(Path("/proc/m.onnx")):
        pass


def test_a_name_that_is_too_long_is_an_output_error(tmp_path):
    with pytest.raises(OutputError, match="too long"):
        Staging(tmp_path / ("m" * 300))


def test_a_full_disk_in_the_block_is_an_output_error(tmp_path):
    with pytest.raises(OutputError, match="No space left"), Staging(tmp_path / "m.onnx"):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_other_errors_in_the_block_stay_as_they_are(tmp_path):
    with pytest.raises(FileNotFoundError), Staging(tmp_path / "m.onnx"):
        raise FileNotFoundError(errno.ENOENT, "the user's own file")


def test_room_is_checked(tmp_path):
    with Staging(tmp_path / "m.onnx") as staging:
        staging.require_space(1)
        with pytest.raises(OutputError, match="no room"):
            staging.require_space(1 << 60)


def test_a_file_system_without_hard_links_works(tmp_path, old, monkeypatch):
    def refuse(*arguments, **keywords):
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    test_a_commit_that_fails_midway_is_undone(
        tmp_path, old, monkeypatch, "m.onnx", KeyboardInterrupt()
    )


def test_a_file_system_without_locks_works(tmp_path, monkeypatch):
    def refuse(*arguments):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("fcntl.flock", refuse)
    with Staging(tmp_path / "m.onnx") as staging:
        put(staging.folder, NEW)
        staging.commit("m.onnx", ["m.onnx.json"])
    assert contents(tmp_path) == NEW


def test_the_hash_is_sha256(tmp_path):
    (tmp_path / "f").write_bytes(b"abc")
    assert file_sha256(tmp_path / "f").startswith("ba7816bf8f01cfea")
