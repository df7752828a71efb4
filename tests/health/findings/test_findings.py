"""Every planted fault is named, by code and layer, and nothing else that is grave."""

import pytest
import torch
from planted_faults import Net, X, faults, trained
from torch import nn

from bnexport.health.findings import RULES, diagnose
from bnexport.health.wiring import wiring

FAULTS = {fault.name: fault for fault in faults()}
# A fault may have consequences that are findings of their own.
ALSO = {
    "a scale beyond float16": {"BNX109"},
    "a mean far from zero": set(),
    "the whole model in train mode": {"BNX103"},
    "dropout in training": {"BNX101"},
    "SyncBatchNorm": {"BNX116"},
    "a shift beyond float16": {"BNX123"},
}


def found(module, inputs):
    return diagnose(module, wiring(module, inputs) if inputs else {})


def test_a_healthy_model_has_no_finding():
    assert found(trained(Net()), (X,)) == ()


@pytest.mark.parametrize("name", FAULTS)
def test_the_fault_is_named(name):
    fault = FAULTS[name]
    findings = found(fault.make(), fault.inputs)
    named = [(each.code, each.layer, each.severity) for each in findings]
    assert (fault.code, fault.layer, fault.severity) in named
    others = {each.code for each in findings if each.severity != "note"} - {fault.code}
    assert others <= ALSO.get(name, set())


def test_every_code_is_planted():
    assert {fault.code for fault in FAULTS.values()} == set(RULES)


def test_there_are_enough_of_them():
    assert len(FAULTS) >= 25


def test_the_caller_is_left_alone():
    net = trained(Net()).train()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    state = torch.get_rng_state()
    found(net, (X,))
    assert all(torch.equal(before[name], value) for name, value in net.state_dict().items())
    assert all(each.training for each in net.modules())
    assert not any(each._forward_hooks or each._forward_pre_hooks for each in net.modules())
    assert torch.equal(state, torch.get_rng_state())


def test_wrappers_are_looked_through():
    net = trained(Net())
    net.bn.running_var[0] = -1
    assert diagnose(nn.DataParallel(net))[0].layer == "bn"


def test_train_mode_of_a_model_that_was_just_built_is_no_finding():
    net = trained(Net()).train()
    assert diagnose(net, modes_count=False) == ()
    assert diagnose(net)[0].code == "BNX101"


def test_a_batchnorm_without_affine():
    net = trained(nn.Sequential(nn.Conv2d(3, 4, 1, bias=False), nn.BatchNorm2d(4, affine=False)))
    assert found(net, (X,)) == ()


def test_the_folded_weight_counts_and_not_the_scale_alone():
    net = trained(Net())
    net.stem.weight.data[2] *= 1e6
    net.bn.running_mean.zero_()
    (finding,) = [each for each in found(net, (X,)) if each.code == "BNX111"]
    assert "the folded weight" in finding.what
    assert "channel 2" in finding.what
    assert not [each for each in diagnose(net) if each.code == "BNX111"]


def test_a_scale_that_small_weights_make_up_for_is_a_note():
    net = trained(Net())
    net.stem.weight.data[2] *= 1e-6
    net.bn.running_mean[2], net.bn.running_var[2], net.bn.eps = 0, 1e-12, 1e-18
    found_ = [each for each in found(net, (X,)) if each.code == "BNX111"]
    assert [each.severity for each in found_] == ["note"]
    assert [each.severity for each in diagnose(net) if each.code == "BNX111"] == ["warning"]


def test_a_bias_that_others_read_is_not_redundant():
    class Read(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.bn = nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3)

        def forward(self, x):
            y = self.conv(x)
            return self.bn(y) + y

    assert not [each for each in found(trained(Read()), (X,)) if each.code == "BNX118"]


def test_meta_and_lazy_layers_are_no_crash():
    assert (
        diagnose(nn.Sequential(nn.BatchNorm2d(3, device="meta"), nn.LazyBatchNorm2d())) is not None
    )
