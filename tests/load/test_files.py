"""Files that are no model, or a damaged one: one message each, which names the trouble."""

import os
import zipfile

import numpy as np
import pytest
import torch

from bnexport.errors import Refused
from bnexport.load import load
from bnexport.load.sniff import Kind, sniff


@pytest.fixture
def written(tmp_path):
    def write(data: bytes):
        path = tmp_path / "model.pt"
        path.write_bytes(data)
        return path

    return write


def refused(path, match, **options):
    with pytest.raises(Refused, match=match) as info:
        load(path, **options)
    text = str(info.value)
    assert str(path) in text
    assert len(text.splitlines()) <= 2
    assert info.value.exit_code == 3


def test_a_missing_file(tmp_path):
    refused(tmp_path / "none.pt", "no such file")


def test_a_file_as_a_folder(written):
    refused(written(b"x") / "model.pt", "no such file")


def test_a_directory(tmp_path):
    refused(tmp_path, "a directory")


def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    refused(tmp_path / "pipe", "not a regular file")


CONTENTS = {
    "empty": (b"", "the file is empty"),
    "text": (b"hello, world\n" * 100, "a text file"),
    "accents": ("é".encode() * 600, "a text file"),
    "html": (b"<!DOCTYPE html><html>404</html>", "a web page"),
    "lfs": (b"version https://git-lfs.github.com/spec/v1\noid sha256:0", "git lfs pull"),
    "png": (b"\x89PNG\r\n\x1a\n" + bytes(40), "a PNG image"),
    "jpeg": (b"\xff\xd8\xff\xe0" + bytes(40), "a JPEG image"),
    "hdf5": (b"\x89HDF\r\n\x1a\n" + bytes(40), "HDF5"),
    "gzip": (b"\x1f\x8b\x08" + bytes(40), "gzip"),
    "engine": (b"ptrt" + bytes(40), "a TensorRT engine"),
    "rtx_engine": (b"vtrt" + bytes(40), "a TensorRT engine"),
    "noise": (np.random.default_rng(0).bytes(5000), "not a model file"),
    "bare pickle": (b"\x80\x04\x95\x03\x00\x00\x00\x00\x00\x00\x00K\x01.", "a bare pickle"),
    "safetensors header": (b"\x40\x00\x00\x00\x00\x00\x00\x00{" + bytes(63), "safetensors"),
}


@pytest.mark.parametrize("name", CONTENTS)
def test_what_is_no_model_is_called_by_its_name(name, written):
    data, message = CONTENTS[name]
    refused(written(data), message, arch=None)


def test_other_zip_archives(tmp_path):
    np.savez(tmp_path / "arrays.npz", a=np.ones(2), b=np.ones(2))
    refused(tmp_path / "arrays.npz", "not one that torch wrote")


@pytest.mark.parametrize("share", [0.2, 0.5, 0.9, 0.999])
@pytest.mark.parametrize("zipped", [True, False])
def test_a_truncated_file(share, zipped, saved, trained):
    path = saved(trained, _use_new_zipfile_serialization=zipped)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    refused(path, "truncated|damaged|not a well-formed pickle")


def test_a_flipped_bit_in_the_weights(saved, trained):
    path = saved(trained)
    weight = trained[0].weight.detach().numpy().tobytes()
    data = path.read_bytes()
    place = data.index(weight)
    path.write_bytes(data[: place + 9] + bytes([data[place + 9] ^ 64]) + data[place + 10 :])
    refused(path, "CRC differs")


def test_a_file_written_without_crcs_is_read(saved, trained):
    torch.serialization.set_crc32_options(False)
    try:
        path = saved(trained)
    finally:
        torch.serialization.set_crc32_options(True)
    assert torch.equal(load(path).model[0].weight, trained[0].weight)


def test_compressed_records_are_refused(saved, trained, tmp_path):
    packed = tmp_path / "packed.pt"
    with (
        zipfile.ZipFile(saved(trained)) as old,
        zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as new,
    ):
        for name in old.namelist():
            new.writestr(name, old.read(name))
    refused(packed, "compressed")


def test_a_storage_of_another_size(saved, trained, rewritten):
    refused(rewritten(saved(trained), "data/0", lambda data: data[:-4]), "its header says")


def test_a_missing_storage(saved, trained, tmp_path):
    path = tmp_path / "short.pt"
    with zipfile.ZipFile(saved(trained)) as old, zipfile.ZipFile(path, "w") as new:
        for name in old.namelist():
            if not name.endswith("data/0"):
                new.writestr(name, old.read(name))
    refused(path, "'data/0' is missing")


def test_big_endian_files_are_refused(saved, trained, rewritten):
    refused(rewritten(saved(trained), "byteorder", lambda data: b"big"), "big-endian")


@pytest.mark.parametrize("value", [torch.ones(3), [1, 2], 3, "text"])
def test_what_is_not_a_model(value, saved):
    refused(saved(value), "not a model or a state dict")


def test_a_checkpoint_without_weights(saved):
    refused(saved({"epoch": 3, "loss": 0.5}), "its entries are 'epoch', 'loss'")


@pytest.mark.filterwarnings("ignore:.*:DeprecationWarning", "ignore:.*:UserWarning")
def test_quantised_weights_are_named(saved):
    weight = torch.quantize_per_tensor(torch.ones(3), 0.1, 0, torch.qint8)
    refused(saved({"weight": weight}), "weight is a qtensor", arch="torch.nn:ReLU")


def test_torchscript_wants_trust(tmp_path, trained):
    import warnings

    path = tmp_path / "scripted.pt"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.save(torch.jit.trace(trained.eval(), torch.randn(1, 3, 6, 6)), path)
    refused(path, "--trust-torchscript")
    loaded = load(path, trust_torchscript=True)
    x = torch.randn(2, 3, 6, 6)
    assert loaded.format == "torchscript"
    torch.testing.assert_close(loaded.model(x), trained(x))


def test_sniffing_leaves_unknown_bytes_open(written):
    assert sniff(written(b"\x08\x0a" + bytes(range(128, 200)))) is Kind.UNKNOWN


def test_noise_is_called_noise_with_an_architecture_too(written):
    data, message = CONTENTS["noise"]
    refused(written(data), message, arch="torch.nn:ReLU")
