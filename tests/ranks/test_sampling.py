"""What sampling explains, held against samples."""

import math

import pytest
import torch

from bnexport import compare_ranks
from bnexport.errors import UsageError
from bnexport.ranks.sampling import Sampling

CHANNELS, BATCH, MOMENTUM = 64, 32, 0.1


def averages(made, copies, *, broadcast=False, steps=60, shift=0.0):
    """Running statistics of two ranks after Gaussian batches: ``copies`` trainings of so many channels at once."""
    mean = torch.zeros(2, copies * CHANNELS)
    variance = torch.ones(2, copies * CHANNELS)
    for _ in range(steps):
        batch = torch.randn(2, BATCH, copies * CHANNELS, generator=made)
        batch[1] += shift
        if broadcast:
            mean[1], variance[1] = mean[0], variance[0]
        mean.lerp_(batch.mean(1), MOMENTUM)
        variance.lerp_(batch.var(1), MOMENTUM)
    return mean.view(2, copies, CHANNELS), variance.view(2, copies, CHANNELS)


def verdicts(found, **options):
    mean, variance = found
    for copy in range(mean.shape[1]):
        ranks = [
            {"bn.running_mean": mean[r, copy], "bn.running_var": variance[r, copy]} for r in (0, 1)
        ]
        yield compare_ranks(ranks, batch_size=BATCH, momentum=MOMENTUM, **options)


@pytest.mark.parametrize("broadcast", [False, True])
def test_the_rate_of_false_alarms_is_that_which_was_asked_for(broadcast):
    """Without pixels the limits are no bounds but exact: at 0.5, Bonferroni leaves 1 - exp(-0.5) = 0.39 of alarms."""
    made = torch.Generator().manual_seed(0)
    found = averages(made, 150, broadcast=broadcast)
    alarms = [
        each.verdict == "data differ" for each in verdicts(found, alpha=0.5, broadcast=broadcast)
    ]
    # Four standard errors of a rate over 150 are 0.16.
    assert 0.39 - 0.16 < sum(alarms) / len(alarms) < 0.39 + 0.16


def test_no_alarm_at_the_default():
    found = averages(torch.Generator().manual_seed(1), 40)
    assert {each.verdict for each in verdicts(found)} == {"diverged"}


def test_ranks_of_their_own_averages_are_further_apart_than_one_batch_takes_them():
    own = averages(torch.Generator().manual_seed(2), 20)
    copied = averages(torch.Generator().manual_seed(3), 20, broadcast=True)
    assert not any(each.one_batch for each in verdicts(own))
    assert all("broadcast_buffers was off" in each.text for each in verdicts(own))
    assert all(each.one_batch for each in verdicts(copied))
    assert all("and so does one batch" in each.text for each in verdicts(copied))


def test_other_data_show_through_a_broadcast_where_it_is_known():
    """Of a shift of 3 deviations the last batch brings 0.3: less than two averages may differ by."""
    (found,) = verdicts(averages(torch.Generator().manual_seed(4), 1, broadcast=True, shift=3.0))
    (known,) = verdicts(
        averages(torch.Generator().manual_seed(4), 1, broadcast=True, shift=3.0), broadcast=True
    )
    assert known.verdict == "data differ"
    assert known.shift_limit < found.shift_limit
    assert not known.mergeable


def test_limits_by_their_formula():
    """One channel, two ranks, momentum 1: sqrt(2 / B) times the quantile of alpha over two statistics and two sides."""
    limits = Sampling(batch_size=50, momentum=1.0, alpha=0.04 * 0.025 / 0.01).of_averages(1, 2)
    assert limits.shift == pytest.approx(1.959964 * math.sqrt(2 / 50), rel=1e-6)
    assert limits.log_ratio == pytest.approx(1.959964 * math.sqrt(4 / 50), rel=1e-6)


def test_more_pairs_more_channels_wider_limits():
    sampling = Sampling()
    alone = sampling.of_averages(10, 2)
    assert sampling.of_averages(10, 8).shift > alone.shift
    assert sampling.of_averages(1000, 2).log_ratio > alone.log_ratio
    ratio = sampling.of_last_batch(10, 2).shift / alone.shift
    assert ratio == pytest.approx(math.sqrt(0.1 * 1.9))


def test_a_chance_of_almost_nothing_has_a_limit():
    assert math.isfinite(Sampling(alpha=1e-320).of_averages(10**6, 64).shift)


@pytest.mark.parametrize(
    "wrong",
    [
        {"batch_size": 0},
        {"batch_size": 10**400},
        {"momentum": 0.0},
        {"momentum": 1.5},
        {"momentum": math.nan},
        {"alpha": 0.0},
        {"alpha": 1.0},
        {"alpha": math.nan},
    ],
)
def test_numbers_out_of_range(wrong):
    with pytest.raises(UsageError, match="what sampling explains"):
        Sampling(**wrong)
