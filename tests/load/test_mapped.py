"""Weights that lie in their file."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from bnexport.load import mapped
from bnexport.load.mapped import map_file, page_out

SIZE = 8 << 20

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "weights"
    path.write_bytes(np.arange(SIZE // 4, dtype=np.int32).tobytes())
    return path


def resident(name):
    """Kilobytes of the mappings of a file that are in memory."""
    total, here = 0, False
    for line in open("/proc/self/smaps"):  # noqa: SIM115
        if "-" in line.split()[0] and ":" not in line.split()[0]:
            here = str(name) in line
        elif here and line.startswith("Rss:"):
            total += int(line.split()[1])
    return total


def test_pages_are_given_back_and_read_again(file):
    with file.open("rb") as opened:
        numbers = np.frombuffer(map_file(opened), np.int32)
    assert numbers.sum(dtype=np.int64) == sum(range(SIZE // 4))
    assert resident(file) >= SIZE // 1024
    page_out()
    assert resident(file) < SIZE // 1024 // 8
    assert (numbers == np.arange(SIZE // 4)).all()


def test_what_was_written_stays_and_is_not_written_back(file, monkeypatch):
    with file.open("rb") as opened:
        numbers = np.frombuffer(map_file(opened), np.int32)
    numbers[12345] = -1
    before = file.read_bytes()
    page_out()
    assert numbers[12345] == -1
    monkeypatch.setattr(mapped, "_LARGE", 0)
    page_out()
    assert numbers[12345] == -1
    assert numbers[12346] == 12346
    assert file.read_bytes() == before


def test_where_the_system_tells_nothing_all_is_taken_for_written(file, monkeypatch, tmp_path):
    monkeypatch.setattr(mapped, "_SMAPS", tmp_path / "none")
    with file.open("rb") as opened:
        numbers = np.frombuffer(map_file(opened), np.int32)
    numbers[7] = -1
    page_out()
    assert numbers[7] == -1
