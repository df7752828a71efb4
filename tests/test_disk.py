"""Errors of the operating system, as the user sees them."""

import errno
import os

import pytest

from bnexport.disk import contains, is_disk_failure, output_errors, try_lock
from bnexport.errors import OutputError


def test_an_error_names_the_path_and_the_reason(tmp_path):
    with pytest.raises(OutputError) as caught, output_errors(tmp_path / "m.onnx"):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/somewhere/hidden")
    assert str(caught.value).startswith(f"cannot write {tmp_path}/m.onnx: No space left on device")


def test_other_errors_pass(tmp_path):
    with pytest.raises(ValueError, match="mine"), output_errors(tmp_path):
        raise ValueError("mine")


@pytest.mark.parametrize(("number", "verdict"), [(errno.EROFS, True), (errno.ENOENT, False)])
def test_the_disks_failures_are_told_from_the_programs(number, verdict):
    assert is_disk_failure(OSError(number, "")) is verdict


def test_a_lock_is_held_until_it_is_closed(tmp_path):
    first = try_lock(tmp_path)
    assert try_lock(tmp_path) is None
    os.close(first)
    second = try_lock(tmp_path)
    assert second is not None
    os.close(second)


def test_what_is_no_folder_has_no_lock(tmp_path):
    assert try_lock(tmp_path / "missing") is None


@pytest.mark.parametrize(
    ("content", "found"), [(b"a needle b", True), (b"hay", False), (b"", False)]
)
def test_a_word_is_found_in_a_file(tmp_path, content, found):
    (tmp_path / "f").write_bytes(content)
    assert contains(tmp_path / "f", b"needle") is found


def test_a_pipe_is_not_read(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    assert not contains(tmp_path / "pipe", b"needle")
