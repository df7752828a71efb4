"""TorchScript files: the module in eval mode, at any batch, with the caller's left alone."""

import warnings
from pathlib import Path

import pytest
import torch
from torch import nn

from bnexport.errors import ExportError, OutputError
from bnexport.signature import Plain
from bnexport.targets.torchscript import write_torchscript


def module() -> Plain:
    torch.manual_seed(0)
    layers = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.Dropout(0.5), nn.ReLU())
    layers(torch.randn(4, 3, 8, 8))
    return Plain(layers, ("input",))


def images(count: int) -> torch.Tensor:
    return torch.randn(count, 3, 8, 8, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("batch", [1, 2, 5])
def test_the_file_computes_eval_mode_at_other_batches(tmp_path, batch):
    plain = module()
    write_torchscript(plain, (images(2),), tmp_path / "m.pt")
    plain.eval()
    with torch.no_grad():
        (want,) = plain(images(batch))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            read = torch.jit.load(tmp_path / "m.pt")
        (got,) = read(images(batch))
    torch.testing.assert_close(got, want)


def test_the_caller_is_left_as_it_was(tmp_path):
    plain = module().train()
    plain.model[1].eval()
    flags = [each.training for each in plain.modules()]
    state = torch.get_rng_state()
    write_torchscript(plain, (images(2),), tmp_path / "m.pt")
    assert [each.training for each in plain.modules()] == flags
    assert torch.is_grad_enabled()
    assert torch.equal(torch.get_rng_state(), state)


def test_warnings_stay_inside(tmp_path):
    class Branching(nn.Module):
        def forward(self, x):
            return (x * 2,) if x.sum() > 0 else (x,)

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        write_torchscript(Branching(), (images(2),), tmp_path / "m.pt")


def test_what_cannot_be_traced_is_an_export_error(tmp_path):
    class Returns(nn.Module):
        def forward(self, x):
            return object()

    with pytest.raises(ExportError, match="cannot be traced"):
        write_torchscript(Returns(), (images(2),), tmp_path / "m.pt")
    assert not list(tmp_path.iterdir())


def test_a_full_disk_is_an_output_error():
    with pytest.raises(OutputError, match="No space left"):
        write_torchscript(module(), (images(2),), Path("/dev/full"))
