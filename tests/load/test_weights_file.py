"""Tensors are written over in place; every other byte stays."""

import zipfile

import pytest
import torch
from torch import nn

import bnexport
from bnexport.errors import BnexportError, Refused
from bnexport.load.weights_file import open_weights

NEW = {
    "1.running_mean": torch.arange(4).double() + 1 / 3,
    "1.num_batches_tracked": torch.tensor(7),
}


def net():
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))


def rewritten(saved, tmp_path, **options):
    path, staged = tmp_path / "a.pt", tmp_path / "b.pt"
    torch.save(saved, path, **options)
    open_weights(path).write(NEW, staged)
    return path, staged


def test_a_state_dict(tmp_path):
    before = net().state_dict()
    path, staged = rewritten(before, tmp_path)
    after = torch.load(staged, weights_only=True)
    assert list(after) == list(before)
    for name, value in before.items():
        assert torch.equal(after[name], NEW[name].to(value.dtype) if name in NEW else value)
    assert staged.stat().st_size == path.stat().st_size


def test_what_stands_beside_stays_bit_for_bit(tmp_path):
    model = net()
    optimiser = torch.optim.Adam(model.parameters())
    model(torch.randn(2, 3, 4, 4)).sum().backward()
    optimiser.step()
    saved = {"model": model.state_dict(), "optimiser": optimiser.state_dict(), "epoch": 3}
    path, staged = rewritten(saved, tmp_path)
    differing = sum(a != b for a, b in zip(path.read_bytes(), staged.read_bytes(), strict=True))
    # 16 bytes of means, 8 of the counter, and of each record up to three CRCs of 4 bytes.
    assert 0 < differing <= 16 + 8 + 2 * 12
    assert torch.load(staged, weights_only=True)["epoch"] == 3


def test_every_crc_is_right(tmp_path):
    _, staged = rewritten(net().state_dict(), tmp_path)
    with zipfile.ZipFile(staged) as archive:
        assert archive.testzip() is None


def test_a_file_without_crcs(tmp_path):
    torch.serialization.set_crc32_options(False)
    try:
        _, staged = rewritten(net().state_dict(), tmp_path)
    finally:
        torch.serialization.set_crc32_options(True)
    assert int(torch.load(staged, weights_only=True)["1.num_batches_tracked"]) == 7


def test_a_module_of_classes_that_are_not_allowed(tmp_path):
    class Own(nn.Sequential):
        pass

    Own.__qualname__ = Own.__module__ = "absent"
    path, staged = rewritten(net(), tmp_path)
    loaded = bnexport.load(staged).model
    assert torch.equal(loaded[1].running_mean, NEW["1.running_mean"].float())
    assert path.read_bytes() != staged.read_bytes()


def test_memory_mapping_still_works(tmp_path):
    _, staged = rewritten(net().state_dict(), tmp_path)
    mapped = torch.load(staged, weights_only=True, mmap=True)
    assert torch.equal(mapped["1.running_mean"], NEW["1.running_mean"].float())


def test_views_of_one_storage(tmp_path):
    flat = torch.zeros(12)
    saved = {
        "1.running_mean": flat[0:8:2],
        "1.num_batches_tracked": torch.tensor(1),
        "x": flat[1::2],
    }
    _, staged = rewritten(saved, tmp_path)
    after = torch.load(staged, weights_only=True)
    assert torch.equal(after["1.running_mean"], NEW["1.running_mean"].float())
    assert after["x"].count_nonzero() == 0


def test_what_would_change_another_tensor_is_refused(tmp_path):
    flat = torch.zeros(12)
    saved = {"1.running_mean": flat[:4], "1.num_batches_tracked": torch.tensor(1), "rest": flat}
    with pytest.raises(Refused, match="rest shares its memory"):
        rewritten(saved, tmp_path)


def test_safetensors(tmp_path):
    torch_files = pytest.importorskip("safetensors.torch")
    before = net().state_dict()
    torch_files.save_file(before, tmp_path / "a.safetensors", metadata={"format": "pt"})
    open_weights(tmp_path / "a.safetensors").write(NEW, tmp_path / "b.safetensors")
    after = torch_files.load_file(tmp_path / "b.safetensors")
    for name, value in before.items():
        assert torch.equal(after[name], NEW[name].to(value.dtype) if name in NEW else value)


def test_a_named_entry(tmp_path):
    torch.save({"model": net().state_dict(), "ema": net().state_dict()}, tmp_path / "a.pt")
    open_weights(tmp_path / "a.pt", "ema").write(NEW, tmp_path / "b.pt")
    after = torch.load(tmp_path / "b.pt", weights_only=True)
    assert int(after["ema"]["1.num_batches_tracked"]) == 7
    assert int(after["model"]["1.num_batches_tracked"]) == 0


def test_another_shape(tmp_path):
    torch.save(net().state_dict(), tmp_path / "a.pt")
    file = open_weights(tmp_path / "a.pt")
    with pytest.raises(ValueError, match=r"1\.running_mean"):
        file.write({"1.running_mean": torch.zeros(5)}, tmp_path / "b.pt")


def test_what_cannot_be_written_again(tmp_path):
    torch.save(net().state_dict(), tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    torch.export.save(
        torch.export.export(net().eval(), (torch.zeros(2, 3, 4, 4),)), tmp_path / "x.pt2"
    )
    (tmp_path / "text.pt").write_text("hello")
    (tmp_path / "cut.pt").write_bytes(b"PK\x03\x04 and no more")
    for name in ("old.pt", "x.pt2", "text.pt", "cut.pt", "absent.pt"):
        with pytest.raises(BnexportError):
            open_weights(tmp_path / name)
