"""Files to load: user packages that exist for one test, and torch.save archives made by hand."""

import pickle
import sys
import textwrap
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

NETS = """
import dataclasses, enum
import torch
from torch import nn

class Mode(enum.Enum):
    FAST = "fast"
    SLOW = "slow"

@dataclasses.dataclass
class Config:
    width: int = 4
    mode: Mode = Mode.FAST

def twice(x):
    return 2 * x

class Net(nn.Module):
    def __init__(self, width=4):
        super().__init__()
        self.conv = nn.Conv2d(3, width, 3, bias=False)
        self.bn = nn.BatchNorm2d(width)
        self.config = Config(width, Mode.SLOW)
        self.scale = twice
    def forward(self, x):
        return self.scale(self.bn(self.conv(x)))

class Setter(Net):
    def __setstate__(self, state):
        raise RuntimeError("ran")
"""


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., str]]:
    """Write a module into the current directory; it is forgotten when the test ends."""
    before = set(sys.modules)
    monkeypatch.chdir(tmp_path)

    def write(name: str, source: str = NETS) -> str:
        (tmp_path / f"{name}.py").write_text(textwrap.dedent(source))
        return name

    yield write
    for name in set(sys.modules) - before:
        if (tmp_path / f"{name.split('.')[0]}.py").exists():
            del sys.modules[name]


@pytest.fixture
def nets(package: Callable[..., str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """The module of networks above, imported, so that its classes can be pickled."""
    import importlib

    package("usernets")
    with monkeypatch.context() as patch:
        patch.syspath_prepend(str(tmp_path))
        module = importlib.import_module("usernets")
    return module


@pytest.fixture
def saved(tmp_path: Path) -> Callable[..., Path]:
    """Save an object with torch.save."""

    def save(value: object, name: str = "model.pt", **options: object) -> Path:
        path = tmp_path / name
        torch.save(value, path, **options)
        return path

    return save


@pytest.fixture
def archive(tmp_path: Path) -> Callable[..., Path]:
    """A torch.save archive around a pickle of the caller's."""

    def write(data: bytes | object, **records: bytes) -> Path:
        stream = data if isinstance(data, bytes) else pickle.dumps(data, protocol=2)
        path = tmp_path / "hostile.pt"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as file:
            file.writestr("hostile/data.pkl", stream)
            file.writestr("hostile/byteorder", b"little")
            file.writestr("hostile/version", b"3\n")
            for name, content in records.items():
                file.writestr(f"hostile/data/{name}", content)
        return path

    return write


@pytest.fixture
def rewritten(tmp_path: Path) -> Callable[..., Path]:
    """A copy of an archive in which one record's bytes are changed, CRC included."""

    def rewrite(source: Path, record: str, change: Callable[[bytes], bytes]) -> Path:
        path = tmp_path / f"changed{source.suffix}"
        with zipfile.ZipFile(source) as old, zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as new:
            for name in old.namelist():
                data = old.read(name)
                new.writestr(name, change(data) if name.endswith(record) else data)
        return path

    return rewrite


@pytest.fixture
def trained() -> torch.nn.Sequential:
    """A small network with statistics of its own, in training mode."""
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4), torch.nn.ReLU())
    model(torch.randn(8, 3, 6, 6) * 3 + 1)
    return model
