"""Weights that lie in their file."""

from __future__ import annotations

import importlib
import mmap
import os
import sys

import numpy as np
import pytest
import torch
from torch import nn

import bnexport
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


def test_what_was_written_stays_and_is_not_written_back(file):
    with file.open("rb") as opened:
        numbers = np.frombuffer(map_file(opened), np.int32)
    numbers[12345] = -1
    before = file.read_bytes()
    for _ in range(2):
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


def test_a_page_that_was_swapped_out_counts_as_written(file, monkeypatch, tmp_path):
    with file.open("rb") as opened:
        numbers = np.frombuffer(map_file(opened), np.int32)
    numbers[7] = -1
    told = open("/proc/self/smaps").read()  # noqa: SIM115
    lines = [
        "Anonymous:  0 kB"
        if line.startswith("Anonymous:")
        else "Swap:  4 kB"
        if line.startswith("Swap:")
        else line
        for line in told.splitlines()
    ]
    (tmp_path / "smaps").write_text("\n".join(lines))
    monkeypatch.setattr(mapped, "_SMAPS", tmp_path / "smaps")
    page_out()
    assert numbers[7] == -1


def test_a_mapping_in_several_parts_is_looked_at_in_full(file):
    with file.open("rb") as opened:
        mapping = map_file(opened)
    mapping.madvise(mmap.MADV_NOHUGEPAGE, 0, SIZE // 2)  # the system splits it
    mapping.madvise(mmap.MADV_HUGEPAGE, SIZE // 2, SIZE // 2)
    numbers = np.frombuffer(mapping, np.int32)
    numbers[SIZE // 4 - 5] = -1
    page_out()
    assert numbers[SIZE // 4 - 5] == -1


def test_a_model_that_was_loaded_may_be_saved_over_its_file(tmp_path):
    path = tmp_path / "m.pt"
    torch.save(nn.Linear(3000, 3000), path)
    loaded = bnexport.load(path)
    before = loaded.model.weight.clone()
    torch.save(loaded.model, path)
    assert torch.equal(bnexport.load(path).model.weight, before)


def test_a_file_that_is_written_to_while_it_is_converted_is_told(tmp_path, monkeypatch):
    path = tmp_path / "m.pt"
    torch.save(nn.Linear(3000, 1500), path)
    convert = importlib.import_module("bnexport.convert")
    real = convert.attempt

    def attempt(*args):
        made = real(*args)
        os.utime(path, (1, 1))
        return made

    monkeypatch.setattr(convert, "attempt", attempt)
    with pytest.raises(bnexport.Refused, match="written to while it was converted"):
        bnexport.convert(path, tmp_path / "m.onnx", inputs=["Nx3000"], proof="quick")
    assert [each.name for each in tmp_path.iterdir()] == ["m.pt"]
