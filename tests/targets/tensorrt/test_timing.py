"""Timings of tensorrt's kernels, kept between builds; with a stand-in for its config, for it needs a GPU."""

from types import SimpleNamespace

import pytest

from bnexport.folders import cache_folder
from bnexport.targets.cuda import Gpu
from bnexport.targets.tensorrt import Flavour, timing
from bnexport.targets.tensorrt.timing import Timings

FULL = Flavour("tensorrt", "10.9.0", False, SimpleNamespace())


class Config:
    """Takes a cache, adds one timing, gives it back."""

    def __init__(self, accepts=True):
        self.given, self.accepts, self.cache = [], accepts, None

    def create_timing_cache(self, content):
        self.given.append(content)
        return content if self.accepts or not content else None

    def set_timing_cache(self, cache, ignore_mismatch):
        assert ignore_mismatch is False
        self.cache = cache

    def get_timing_cache(self):
        return SimpleNamespace(serialize=lambda: self.cache + b"t")


@pytest.fixture(autouse=True)
def gpu(monkeypatch):
    monkeypatch.setattr(timing, "find_gpu", lambda: Gpu("NVIDIA L4", 89))


def build(config, path=None):
    with Timings(FULL, path).lent_to(config):
        pass
    return config


def test_a_second_build_has_what_the_first_measured():
    assert build(Config()).given == [b""]
    assert build(Config()).given == [b"t"]
    (file,) = (cache_folder() / "timings").iterdir()
    assert file.name == "tensorrt-10.9.0-NVIDIA-L4-sm_89.timings"
    assert file.read_bytes() == b"tt"


def test_timings_that_are_refused_are_measured_anew(tmp_path):
    path = tmp_path / "mine"
    path.write_bytes(b"of another release")
    assert build(Config(accepts=False), path).given == [b"of another release", b""]
    assert path.read_bytes() == b"t"


def test_a_folder_that_cannot_be_written_costs_nothing(tmp_path):
    (tmp_path / "file").write_text("")
    assert build(Config(), tmp_path / "file" / "x").given == [b""]


def test_a_failed_build_leaves_them_as_they_were(tmp_path):
    path = tmp_path / "mine"
    path.write_bytes(b"old")
    with pytest.raises(RuntimeError), Timings(FULL, path).lent_to(Config()):
        raise RuntimeError
    assert path.read_bytes() == b"old"


def test_the_cache_folder_is_where_the_user_says(monkeypatch, tmp_path):
    monkeypatch.delenv("BNEXPORT_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "bnexport"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")  # which the specification says to ignore
    assert cache_folder().is_absolute()
    monkeypatch.setenv("BNEXPORT_CACHE", "/here")
    assert str(cache_folder()) == "/here"
