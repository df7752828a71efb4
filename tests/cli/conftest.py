import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import pytest
from sample_report import facts

from bnexport.cli import main
from bnexport.report import document


@dataclass(frozen=True)
class Outcome:
    code: int
    out: str
    err: str


@pytest.fixture
def bnexport(capfd) -> Callable[..., Outcome]:
    """Run the command line in this process."""

    def run(*arguments: str) -> Outcome:
        capfd.readouterr()
        code = main(arguments)
        return Outcome(code, *capfd.readouterr())

    return run


class StubConversion:
    report = Path("out/resnet.report.json")

    def to_json(self):
        return document(facts())


@pytest.fixture
def stub_convert(monkeypatch, tmp_path_factory):
    """Put a function in the place of the road; it is called with what the command line parsed.

    There are files ``m`` and ``model.pt``: one that is missing is told before the road is loaded.
    """
    folder = tmp_path_factory.mktemp("models")
    for name in ("m", "model.pt"):
        (folder / name).write_bytes(b"a model")
    monkeypatch.chdir(folder)

    def put(function):
        stub = ModuleType("bnexport.convert")
        stub.convert = function
        monkeypatch.setitem(sys.modules, "bnexport.convert", stub)

    return put


@pytest.fixture
def calls(stub_convert):
    """The calls of a road that always succeeds."""
    made = []

    def convert(model, **options):
        made.append((model, options))
        return StubConversion()

    stub_convert(convert)
    return made
