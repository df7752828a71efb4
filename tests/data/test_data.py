"""Every kind of data, and what is none."""

import io
import sys

import numpy as np
import pytest
import torch
from torch import nn

from bnexport.data import DataOptions, ImageOptions, open_data
from bnexport.errors import BnexportError, MissingRuntime, Refused, UsageError

X = np.random.default_rng(0).standard_normal((10, 3, 4, 4))


class Two(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(4, 4)

    def forward(self, left, right=None):
        return self.fc(left if right is None else left + right)


def conv(channels=3):
    return nn.Sequential(nn.Conv2d(channels, 4, 3))


def sizes(batches):
    return [len(each) for each in batches]


def test_an_npz_in_batches_with_a_smaller_last_one(tmp_path):
    np.savez(tmp_path / "x.npz", left=X[:, 0, 0], right=X[:, 1, 0])
    data = open_data(tmp_path / "x.npz", Two(), DataOptions(batch_size=4))
    assert sizes(data) == sizes(data) == [4, 4, 2]
    assert data.samples == 10
    first = next(iter(data))
    assert first.kwargs["left"].dtype == torch.float32
    assert first.run(Two()).shape == (4, 4)


def test_a_limit_cuts_the_last_batch(tmp_path):
    np.save(tmp_path / "x.npy", X)
    data = open_data(tmp_path / "x.npy", conv(), DataOptions(batch_size=4, limit=6))
    assert sizes(data) == [4, 2]
    assert data.samples == 6


def test_batches_keep_the_dtype_of_the_model(tmp_path):
    np.save(tmp_path / "x.npy", X.astype(np.float32))
    (batch,) = open_data(tmp_path / "x.npy", conv().double())
    assert batch.kwargs["input"].dtype == torch.float64


def test_arrays_of_other_lengths(tmp_path):
    np.savez(tmp_path / "x.npz", left=X, right=X[:3])
    with pytest.raises(UsageError, match="as many samples in each"):
        open_data(tmp_path / "x.npz", Two())


def test_a_loader_yields_targets_too():
    pairs = [(torch.zeros(3, 4), torch.zeros(3)), (torch.zeros(2, 4), torch.zeros(2))]
    data = open_data(pairs, Two())
    assert [len(batch.args) for batch in data] == [1, 1]
    assert sizes(data) == [3, 2]


def test_a_dict_is_taken_by_name():
    data = open_data([{"left": torch.ones(2, 4), "label": torch.ones(2)}], Two())
    (batch,) = data
    assert list(batch.kwargs) == ["left"]
    with pytest.raises(UsageError, match="forward takes: left, right"):
        list(open_data([{"image": torch.ones(2, 4)}], Two()))


@pytest.mark.parametrize("what", [["text"], [3], [None], [(None, 1)]])
def test_what_is_no_batch(what):
    with pytest.raises(UsageError, match="batch of arrays"):
        list(open_data(what, Two()))


def test_an_iterator_is_read_once():
    data = open_data(iter([torch.zeros(2, 4)]), Two())
    assert sizes(data) == [2]
    with pytest.raises(UsageError, match="cannot be read again"):
        iter(data)


def test_a_stream_of_arrays(monkeypatch):
    file = io.BytesIO()
    for size in (3, 2):
        np.save(file, X[:size])
    file.seek(0)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(file))
    assert sizes(open_data("-", conv())) == [3, 2]


@pytest.mark.parametrize("bytes_", [b"rubbish", b"\x93NUMPY\x01"])
def test_a_stream_of_rubbish(monkeypatch, bytes_):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(bytes_)))
    with pytest.raises(Refused, match=r"no stream of \.npy arrays"):
        list(open_data("-", conv()))


def test_a_stream_runs_no_pickle(monkeypatch):
    file = io.BytesIO()
    np.save(file, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    file.seek(0)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(file))
    with pytest.raises(Refused):
        list(open_data("-", conv()))


def test_a_factory_is_called_for_each_reading(tmp_path, monkeypatch):
    (tmp_path / "own_loader.py").write_text(
        "import torch\ncalls = []\ndef batches():\n    calls.append(1)\n    yield torch.zeros(2, 4)\n"
        "def number():\n    return 3\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    data = open_data("own_loader:batches", Two())
    assert sizes(data) == sizes(data) == [2]
    with pytest.raises(UsageError, match="returned a int, which yields no batches"):
        open_data("own_loader:number", Two())
    with pytest.raises(BnexportError, match="has no 'absent'"):
        open_data("own_loader:absent", Two())


def test_what_the_users_code_raises_is_the_reason():
    def broken():
        yield torch.zeros(2, 4)
        raise KeyError("label")

    with pytest.raises(Refused, match=r"data generator: reading it raised KeyError: 'label'"):
        list(open_data(broken(), Two()))


@pytest.mark.parametrize("source", ["absent", 3, "absent.npz"])
def test_what_is_no_data(source):
    with pytest.raises(UsageError, match=r"package\.module:factory|no such file"):
        open_data(source, conv())


@pytest.mark.parametrize("bad", [{"batch_size": 0}, {"limit": 0}])
def test_empty_batches(bad):
    with pytest.raises(UsageError, match="holds no sample"):
        DataOptions(**bad)


class TestPictures:
    @pytest.fixture
    def folder(self, tmp_path):
        image = pytest.importorskip("PIL.Image")
        made = np.random.default_rng(1)
        (tmp_path / "b").mkdir()
        for name, size in (("a.png", (40, 60, 3)), ("b/c.jpg", (50, 30, 3)), ("d.PNG", (33, 33))):
            image.fromarray(made.integers(0, 256, size, dtype=np.uint8)).save(tmp_path / name)
        (tmp_path / "notes.txt").write_text("no picture")
        return tmp_path

    def test_a_folder_and_those_below(self, folder):
        data = open_data(folder, conv(), DataOptions(batch_size=2))
        (first, last) = [batch.args[0] for batch in data]
        assert (first.shape, last.shape) == ((2, 3, 224, 224), (1, 3, 224, 224))
        assert data.samples == 3
        assert "mean 0.485, 0.456, 0.406" in data.notes[0]
        assert first.dtype == torch.float32

    def test_the_configuration_of_a_timm_model(self, folder):
        model = conv()
        model.pretrained_cfg = {"input_size": (3, 32, 32), "mean": (0.5,) * 3, "std": (0.25,) * 3}
        (batch,) = open_data(folder, model)
        assert batch.args[0].shape == (3, 3, 32, 32)
        assert -2 <= batch.args[0].min() <= batch.args[0].max() <= 2

    def test_grey(self, folder):
        (batch,) = open_data(folder, conv(1), DataOptions(images=ImageOptions(size=(8, 16))))
        assert batch.args[0].shape == (3, 1, 8, 16)

    def test_the_middle_is_cut_out_of_a_constant_picture_whole(self, tmp_path):
        image = pytest.importorskip("PIL.Image")
        image.new("RGB", (30, 50), (255, 0, 51)).save(tmp_path / "x.png")
        images = ImageOptions(size=(10, 10), mean=(0, 0, 0), std=(1, 1, 1))
        (batch,) = open_data(tmp_path, conv(), DataOptions(images=images))
        expected = torch.tensor([1, 0, 0.2]).view(1, 3, 1, 1).expand(1, 3, 10, 10)
        torch.testing.assert_close(batch.args[0], expected)

    def test_five_channels_are_no_picture(self, folder):
        with pytest.raises(UsageError, match="takes 5 channels"):
            open_data(folder, conv(5))

    def test_one_mean_for_three_channels(self, folder):
        with pytest.raises(UsageError, match="one number a channel"):
            open_data(folder, conv(), DataOptions(images=ImageOptions(mean=(0.5,))))

    def test_a_broken_picture_is_named(self, folder):
        (folder / "e.png").write_bytes(b"\x89PNG\r\n")
        with pytest.raises(Refused, match=r"e\.png: it cannot be read"):
            list(open_data(folder, conv()))

    def test_an_empty_folder(self, tmp_path):
        with pytest.raises(UsageError, match="holds no picture"):
            open_data(tmp_path, conv())

    def test_without_pillow(self, folder, monkeypatch):
        monkeypatch.setitem(sys.modules, "PIL", None)
        with pytest.raises(MissingRuntime, match="pip install pillow"):
            list(open_data(folder, conv()))
