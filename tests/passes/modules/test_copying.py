"""copy_module copies what copy.deepcopy gives up on, and shares nothing that can be written to."""

import copy
import warnings

import pytest
import torch
from torch import nn

from bnexport.passes.modules import copy_module


def normed(kind):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = nn.Sequential(kind(nn.Conv2d(3, 4, 3)), nn.BatchNorm2d(4))
    model.train()
    model(torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(0)))
    return model.eval()


@pytest.mark.parametrize("kind", [nn.utils.weight_norm, nn.utils.spectral_norm])
def test_hooked_weights_are_copied_where_deepcopy_fails(kind):
    model = normed(kind)
    with pytest.raises(RuntimeError):
        copy.deepcopy(model)
    x = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(1))
    assert torch.equal(copy_module(model)(x), model(x))


def test_nothing_is_shared():
    model = normed(nn.utils.weight_norm)
    copied = copy_module(model)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    with torch.no_grad():
        for tensor in [*copied.parameters(), *copied.buffers(), copied[0].weight]:
            tensor.add_(1)
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())


def test_tied_weights_stay_tied():
    model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
    model[1].weight = model[0].weight
    copied = copy_module(model)
    assert copied[0].weight is copied[1].weight
    assert copied[0].weight is not model[0].weight


def test_the_random_state_is_left_alone():
    before = torch.get_rng_state()
    copy_module(normed(nn.utils.spectral_norm))
    middle = torch.get_rng_state()
    copy_module(nn.Linear(2, 2))
    assert not torch.equal(before, middle)  # building drew numbers
    model = normed(nn.utils.weight_norm)
    before = torch.get_rng_state()
    copy_module(model)
    assert torch.equal(torch.get_rng_state(), before)


def test_a_wrapper_inside_becomes_what_it_holds():
    inside = nn.Linear(3, 2)
    model = nn.ModuleDict({"a": nn.DataParallel(inside), "b": inside})
    copied = copy_module(model)
    assert type(copied["a"]) is nn.Linear
    assert copied["a"] is copied["b"]
    assert type(model["a"]) is nn.DataParallel


def test_a_process_group_is_shared():
    class ProcessGroup:
        def __deepcopy__(self, memo):
            raise TypeError("cannot pickle")

    norm = nn.SyncBatchNorm(3)
    norm.process_group = ProcessGroup()
    assert copy_module(nn.Sequential(norm))[0].process_group is norm.process_group
