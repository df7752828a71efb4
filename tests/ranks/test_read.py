"""Ranks of every form, under names that are the same on all of them."""

import pytest
import torch
from torch import nn

from bnexport import compare_ranks
from bnexport.errors import Refused, UsageError
from bnexport.ranks.read import read_ranks


def net():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))


def prefixed(prefix):
    return {prefix + name: value for name, value in net().state_dict().items()}


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "module._orig_mod.", "module.module."])
def test_prefixes_of_wrappers(prefix):
    assert read_ranks([net(), prefixed(prefix)])[1].raw["1.weight"] == f"{prefix}1.weight"


def test_a_name_that_one_tensor_does_not_bear_is_no_prefix():
    given = {**prefixed("module."), "another.that.is.longer.than.any": torch.zeros(1)}
    assert "module.1.weight" in read_ranks([given, given])[0].tensors


@pytest.mark.parametrize(
    "wrap",
    [
        lambda state: {"state_dict": state, "epoch": 3},
        lambda state: {"model": net()},
        lambda state: {"model_state_dict": state},
    ],
)
def test_entries_of_what_is_given_live(wrap, tmp_path):
    given = wrap(net().state_dict())
    assert compare_ranks([given, net()]).ok
    assert compare_ranks([{"mine": given, "state_dict": {}}, net()], key="mine").ok is True


def test_whole_modules_in_files(tmp_path):
    paths = [tmp_path / "0.pt", tmp_path / "1.pt"]
    for path in paths:
        torch.save(nn.DataParallel(net()), path)
    assert compare_ranks(paths).ok


def test_what_is_no_rank():
    with pytest.raises(UsageError, match="rank 0: a NoneType is no file"):
        compare_ranks([None, net()])


def test_another_type_is_refused():
    other = net()
    other[1].running_var = other[1].running_var.double()
    with pytest.raises(
        Refused, match=r"1\.running_var is \(4,\) float32 in rank 0, \(4,\) float64"
    ):
        compare_ranks([net(), other])
