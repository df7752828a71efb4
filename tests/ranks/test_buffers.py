"""Statistics that are none are refused by their name."""

import pytest
import torch
from torch import nn

from bnexport import compare_ranks
from bnexport.errors import Refused
from bnexport.ranks.buffers import layers_of

NAN = float("nan")


def state(**changes):
    found = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)).state_dict()
    return {**found, **{f"1.{name}": value for name, value in changes.items()}}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"running_mean": torch.zeros(3)},
            r"1\.running_mean is of shape \(3,\), and 1\.running_var",
        ),
        ({"running_mean": torch.zeros(()), "running_var": torch.ones(())}, r"of shape \(\)"),
        ({"running_mean": torch.zeros(0), "running_var": torch.ones(0)}, r"of shape \(0,\)"),
        ({"running_mean": torch.zeros(4).long()}, r"1\.running_mean is of torch.int64"),
        ({"running_var": torch.zeros(4).cfloat()}, r"1\.running_var is of torch.complex64"),
        ({"num_batches_tracked": torch.zeros(2)}, r"1\.num_batches_tracked is not one number"),
        ({"num_batches_tracked": torch.tensor(NAN)}, "is not one number"),
        ({"num_batches_tracked": torch.tensor(-1)}, "is not one number"),
        ({"running_var": torch.ones(4, device="meta")}, r"1\.running_var is on the meta device"),
        ({"running_var": torch.ones(4).to_sparse()}, r"1\.running_var is sparse"),
    ],
)
def test_what_is_no_statistics_is_named(changes, said):
    with pytest.raises(Refused, match=said):
        compare_ranks([state(**changes), state(**changes)])


def test_layers_need_both_a_mean_and_a_variance():
    tensors = {
        "running_mean": torch.zeros(1),
        "running_var": torch.ones(1),
        "a.running_mean": torch.zeros(1),
        "not_running_mean": torch.zeros(1),
        "not_running_var": torch.zeros(1),
        "a.b.running_var": torch.ones(1),
        "a.b.running_mean": torch.ones(1),
    }
    assert layers_of(tensors) == ("", "a.b")
