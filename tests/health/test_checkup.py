"""check_batch_norm, as a test of somebody's own calls it."""

import pytest
import torch
from planted_faults import Net, X, trained
from torch import nn

from bnexport import UsageError, check_batch_norm
from bnexport.health.checkup import UnhealthyBatchNorm


def test_a_healthy_model_passes_and_returns_nothing():
    assert check_batch_norm(trained(Net()), X) == ()


def test_a_questionable_one_fails_as_an_assertion_that_names_layer_and_remedy():
    net = trained(Net())
    net.block[1].reset_running_stats()
    with pytest.raises(AssertionError, match=r"BNX105 block\.1: running_mean is 0") as info:
        check_batch_norm(net)
    assert "recalibrate" in info.value.remedy


def test_the_severity_that_fails():
    net = trained(Net())
    net.bn.weight.data[0] = 0
    (note,) = check_batch_norm(net)
    assert note.code == "BNX110"
    with pytest.raises(UnhealthyBatchNorm):
        check_batch_norm(net, fail_on="note")
    assert check_batch_norm(net, fail_on="note", ignore=["BNX110:bn"]) == ()
    net.bn.running_var[0] = -1
    assert check_batch_norm(net, fail_on="never")[0].code == "BNX108"


def test_neighbours_are_seen_with_inputs_alone():
    net = trained(nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4)))
    assert check_batch_norm(net) == ()
    assert [each.code for each in check_batch_norm(net, X)] == ["BNX118"]


@pytest.mark.parametrize("bad", [{"fail_on": "fatal"}, {"ignore": ["BNX1"]}, {"ignore": [3]}])
def test_arguments(bad):
    with pytest.raises(UsageError):
        check_batch_norm(trained(Net()), **bad)


def test_inputs_that_do_not_fit():
    with pytest.raises(UsageError, match="does not run on the example inputs"):
        check_batch_norm(trained(Net()), torch.zeros(1, 4, 8, 8))


def test_many_findings_are_cut():
    net = nn.Sequential(*(nn.BatchNorm2d(2) for _ in range(14))).eval()
    with pytest.raises(UnhealthyBatchNorm, match="and 4 more") as info:
        check_batch_norm(net)
    assert len(info.value.findings) == 14
