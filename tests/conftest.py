"""What every test starts from."""

from __future__ import annotations

import signal

import pytest

pytest_plugins = ["pytester"]


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory, monkeypatch):
    """No test takes an engine that another left, nor leaves one in the user's cache folder."""
    monkeypatch.setenv("BNEXPORT_CACHE", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture(autouse=True, scope="session")
def interruptible():
    """A shell that starts a job in the background has SIGINT ignored; the tests of Ctrl-C need it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)
