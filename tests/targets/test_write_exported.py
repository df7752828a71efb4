"""pt2 files read back and compute the same."""

from pathlib import Path

import pytest
import torch
from torch import nn

from bnexport.errors import ExportError, OutputError
from bnexport.targets.exported import write_exported


@pytest.fixture(scope="module")
def program():
    torch.manual_seed(0)
    layers = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8)).eval()
    shapes = ({0: torch.export.Dim("N", min=1)},)
    return torch.export.export(layers, (torch.randn(2, 3, 8, 8),), dynamic_shapes=shapes)


def test_the_file_computes_the_same(program, tmp_path):
    write_exported(program, tmp_path / "m.pt2")
    x = torch.randn(3, 3, 8, 8)
    read = torch.export.load(tmp_path / "m.pt2")
    torch.testing.assert_close(read.module()(x), program.module()(x), rtol=0, atol=0)


def test_a_full_disk_is_an_output_error(program):
    with pytest.raises(OutputError, match="No space left"):
        write_exported(program, Path("/dev/full"))


def test_what_cannot_be_saved_is_an_export_error(tmp_path, monkeypatch):
    def refuse(*arguments):
        raise TypeError("Only ExportedProgram\nmore")

    monkeypatch.setattr(torch.export, "save", refuse)
    with pytest.raises(ExportError, match=r"Only ExportedProgram\. Use"):
        write_exported(None, tmp_path / "m.pt2")
    assert not list(tmp_path.iterdir())
