"""A slice of ``benchmarks/corrupted.py``: corrupted files are refused, or read aright."""

import contextlib
import importlib.util
import json
import sys
from pathlib import Path
from types import SimpleNamespace

import corruption
import pytest

CASES = 300


def benchmark(name="corrupted"):
    path = Path(__file__).resolve().parents[2] / "benchmarks" / f"{name}.py"
    if not path.exists():
        pytest.skip("needs the source tree")
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_each_is_refused_or_read_aright(tmp_path):
    judge = benchmark()
    judge.SECONDS = 60.0  # the machine that tests may be busy: the benchmark holds them to 10
    good, place = tmp_path / "good", tmp_path / "place"
    good.mkdir()
    place.mkdir()
    files = corruption.good_files(good)
    (good / "files.json").write_text(json.dumps(list(files)))
    rows = list(judge.read(good, place, 20_000, 20_000 + CASES))
    assert len(rows) == CASES
    assert {row["kind"] for row in rows} == set(files)
    assert [row for row in rows if judge.is_wrong(row)] == []
    assert {row["outcome"] for row in rows} >= {"refused", "the same"}


def test_what_is_watched_for_is_seen(tmp_path, monkeypatch):
    """A reader that breaks, hangs or dies is counted as wrong."""
    judge = benchmark()
    monkeypatch.setattr(judge, "SECONDS", 5.0)
    monkeypatch.setattr(judge, "BYTES", 200 << 20)
    good = tmp_path / "good"
    good.mkdir()
    (good / "files.json").write_text("[]")
    worker = tmp_path / "corruption_worker.py"
    monkeypatch.setattr(judge, "TESTS", tmp_path)
    begin = 'import os, sys, time; print(\'{"begin": 0, "kind": "k", "harm": "h"}\', flush=True)\n'
    for harm, outcome in (
        ("time.sleep(60)", "hang"),
        ("os.abort()", "crash (-6)"),
        ("x = []\nwhile True: x.append(os.urandom(1 << 20) * 64)", "memory"),
    ):
        worker.write_text(begin + harm)
        (row,) = judge.read(good, tmp_path, 0, 1)
        assert (row["outcome"], judge.is_wrong(row)) == (outcome, True)


SEEDS = sorted((Path(__file__).parent / "seeds").iterdir())


@pytest.mark.parametrize("seed", SEEDS, ids=[seed.name for seed in SEEDS])
def test_what_the_fuzzer_found_stays_mended(seed, tmp_path, monkeypatch):
    """Each seed, as every kind of input: see ``benchmarks/fuzz_loader.py``."""
    atheris = SimpleNamespace(instrument_imports=lambda **options: contextlib.nullcontext())
    monkeypatch.setitem(sys.modules, "atheris", atheris)
    fuzz = benchmark("fuzz_loader")
    data = seed.read_bytes()
    for kind in range(len(fuzz.KINDS)):
        fuzz.one(bytes([kind]) + data[1:])
