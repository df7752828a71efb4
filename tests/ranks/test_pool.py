"""Pooling, and what it refuses."""

import numpy as np
import pytest
import torch
from torch import nn

from bnexport.errors import OutputError, Refused
from bnexport.ranks import merge_ranks, pooled
from bnexport.ranks.compare import compared
from bnexport.ranks.read import read_ranks
from bnexport.ranks.sampling import Sampling


def saved(folder, *ranks):
    """Files of ranks, each a mean, a variance and a count, or None for no count; of one channel."""
    for place, (mean, variance, count) in enumerate(ranks):
        state = nn.BatchNorm1d(1).state_dict()
        state["running_mean"] = torch.tensor([mean])
        state["running_var"] = torch.tensor([variance])
        if count is None:
            del state["num_batches_tracked"]
        else:
            state["num_batches_tracked"] = torch.tensor(count)
        torch.save(
            {"net": {f"bn.{name}": value for name, value in state.items()}}, folder / f"{place}.pt"
        )
    return [folder / f"{place}.pt" for place in range(len(ranks))]


def merged(folder, *ranks, sampling=None, **options):
    found = read_ranks(saved(folder, *ranks))
    merge_ranks(found, compared(found, sampling or Sampling()), folder / "out.pt", **options)
    return torch.load(folder / "out.pt", weights_only=True)["net"]


def values(state):
    return state["bn.running_mean"].item(), state["bn.running_var"].item()


def test_a_rank_that_saw_no_batch_has_no_weight(tmp_path):
    out = merged(tmp_path, (0.5, 4.0, 10), (0.0, 1.0, 0))
    assert values(out) == (0.5, 4.0)
    assert int(out["bn.num_batches_tracked"]) == 10


@pytest.mark.parametrize("count", [0, None])
def test_where_nobody_counted_the_weights_are_equal(tmp_path, count):
    assert values(merged(tmp_path, (0.0, 1.0, count), (0.5, 1.0, count))) == (0.25, 1.0625)


def test_uneven_batches_are_weighted(tmp_path):
    """3 : 1, by hand: the mean is 1; the variance 1 + (3 * 1 + 1 * 9) / 4."""
    out = merged(tmp_path, (0.0, 1.0, 30), (4.0, 1.0, 10))
    assert values(out) == (1.0, 4.0)
    assert int(out["bn.num_batches_tracked"]) == 40


def test_the_elements_of_a_rank_without_batches_are_none(tmp_path):
    """What one rank alone has seen stays as it was, whatever n is."""
    out = merged(tmp_path, (0.5, 4.0, 1), (0.0, 1.0, 0), elements=5)
    assert values(out) == pytest.approx((0.5, 4.0), rel=1e-7)


def test_it_is_rounded_once(tmp_path):
    """In float32 the mean of 1 and 1 + 2^-23 is a tie; three of them and a fourth round to the nearest."""
    step = 2.0**-23
    out = merged(tmp_path, *[(1.0 + step * place, 1.0, 1) for place in (0, 1, 1)])
    exact = np.float32((1.0 + 2 * (1.0 + step)) / 3)
    assert out["bn.running_mean"].numpy()[0] == exact


def test_the_mean_of_a_cumulative_average_is_that_of_all_samples():
    """Uneven numbers of equal batches, momentum None: the mean is exact, the variance short of what means scattered."""
    torch.manual_seed(0)
    layers = [nn.BatchNorm1d(5, momentum=None).double() for _ in range(2)]
    batches = [[torch.randn(64, 5).double() + rank for _ in range(2 + 3 * rank)] for rank in (0, 1)]
    for layer, seen in zip(layers, batches, strict=True):
        for batch in seen:
            layer(batch)
    mean, variance = pooled(
        torch.stack([layer.running_mean for layer in layers]),
        torch.stack([layer.running_var for layer in layers]),
        torch.tensor([2, 5]),
    )
    whole = torch.cat([*batches[0], *batches[1]])
    torch.testing.assert_close(mean, whole.mean(0), rtol=1e-12, atol=1e-14)
    off = (variance / whole.var(0) - 1).abs()
    assert 0 < off.max() < 1 / 64 + 1 / 64


def test_what_the_type_cannot_hold_is_refused(tmp_path):
    for place, mean in enumerate((-600.0, 600.0)):
        state = nn.BatchNorm1d(1).half().state_dict()
        state["running_mean"] += mean
        torch.save(state, tmp_path / f"{place}.pt")
    found = read_ranks([tmp_path / "0.pt", tmp_path / "1.pt"])
    with pytest.raises(Refused, match="running_var of all ranks together is more than float16"):
        merge_ranks(found, compared(found, Sampling()), tmp_path / "out.pt")
    assert not (tmp_path / "out.pt").exists()


def test_rank_0s_statistics_are_not_pooled_with_themselves(tmp_path):
    with pytest.raises(Refused, match="differ by their last batch alone"):
        merged(tmp_path, (0.0, 1.0, 5), (0.01, 1.0, 5), sampling=Sampling(broadcast=True))
    with pytest.raises(Refused, match="all ranks hold rank 0's statistics"):
        merged(tmp_path, (0.0, 1.0, 5), (4.0, 1.0, 5), sampling=Sampling(broadcast=True))


def test_an_input_is_not_written_over_by_another_name(tmp_path):
    paths = saved(tmp_path, (0.0, 1.0, 1), (0.1, 1.0, 1))
    (tmp_path / "link.pt").symlink_to(paths[1])
    before = paths[1].read_bytes()
    found = read_ranks(paths)
    for output in (tmp_path / "link.pt", tmp_path / ".." / tmp_path.name / "1.pt"):
        with pytest.raises(OutputError, match="one of the inputs"):
            merge_ranks(found, compared(found, Sampling()), output)
    assert paths[1].read_bytes() == before
