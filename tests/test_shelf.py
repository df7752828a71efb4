"""A folder of entries: whole or not there, the longest unused goes, and nothing of somebody else's."""

from __future__ import annotations

import os

import pytest

from bnexport.shelf import Shelf

DAY = 24 * 3600
A, B, C, D = (letter * 64 for letter in "abcd")


def put(shelf, key, size=100):
    shelf.put(key, lambda folder: (folder / "file").write_bytes(bytes(size)) and None)


def names(folder):
    return {each.name for each in folder.iterdir()}


def test_what_was_put_is_found(tmp_path):
    shelf = Shelf(tmp_path / "s", 1000)
    assert shelf.find(A) is None
    put(shelf, A)
    assert (shelf.find(A) / "file").stat().st_size == 100
    shelf.drop(A)
    assert shelf.find(A) is None


def test_the_longest_unused_goes_first(tmp_path):
    shelf = Shelf(tmp_path, 250)
    for age, key in enumerate((A, B, C)):
        put(shelf, key)
        if (tmp_path / key).exists():
            os.utime(tmp_path / key, (1000 + age, 1000 + age))
    assert names(tmp_path) == {B, C}
    shelf.find(B)
    put(shelf, D)
    assert names(tmp_path) == {B, D}


def test_what_a_killed_process_left_goes_after_a_day(tmp_path):
    old, new = (f".{'a' * 16}.1.{letter * 8}.staged" for letter in "01")
    for name, age in ((old, 2 * DAY), (new, 60)):
        (tmp_path / name).mkdir()
        then = (tmp_path / name).stat().st_mtime - age
        os.utime(tmp_path / name, (then, then))
    put(Shelf(tmp_path, 1000), A)
    assert names(tmp_path) == {A, new}


def test_what_is_not_ours_is_neither_counted_nor_removed(tmp_path):
    for name in (".git", ".venv", "data"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_bytes(bytes(10_000))
        os.utime(tmp_path / name, (1, 1))
    shelf = Shelf(tmp_path, 250)
    for key in (A, B, C):
        put(shelf, key)
    assert names(tmp_path) >= {".git", ".venv", "data"}
    assert len(names(tmp_path)) == 5


@pytest.mark.parametrize("fails", ["fill", "folder"])
def test_what_cannot_be_written_is_not_there(tmp_path, fails):
    folder = tmp_path / "s"
    if fails == "folder":
        folder.write_text("a file")
    shelf = Shelf(folder, 1000)

    def fill(staged):
        (staged / "file").write_bytes(b"1")
        raise OSError("no room")

    shelf.put(A, fill)
    assert fails == "folder" or not names(folder)
