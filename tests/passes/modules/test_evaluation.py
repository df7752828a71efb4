"""eval_mode gives every flag back; undisturbed gives every generator back."""

import random

import numpy as np
import pytest
import torch
from torch import nn

from bnexport.passes.modules import eval_mode, undisturbed


def mixed():
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Sequential(nn.Dropout(0.5)))
    model.train()
    model[1].eval()
    return model


def flags(model):
    return {name: each.training for name, each in model.named_modules()}


def test_every_submodule_is_in_eval_mode_inside():
    model = mixed()
    with eval_mode(model) as same:
        assert same is model
        assert not any(flags(model).values())


def test_each_flag_comes_back_as_it_was():
    model = mixed()
    before = flags(model)
    with eval_mode(model):
        pass
    assert flags(model) == before


def test_flags_come_back_after_an_error():
    model = mixed()
    before = flags(model)
    with pytest.raises(KeyError), eval_mode(model):
        raise KeyError
    assert flags(model) == before


def test_a_submodule_set_to_train_inside_is_given_its_flag_back():
    model = mixed()
    with eval_mode(model):
        model[1].train()
    assert not model[1].training


def test_a_shared_submodule_gets_its_flag_back():
    shared = nn.BatchNorm1d(3).train()
    model = nn.Sequential(shared, nn.Sequential(shared)).eval()
    shared.train()
    with eval_mode(model):
        assert not shared.training
    assert shared.training
    assert not model.training


def test_a_submodule_removed_inside_gets_its_flag_back():
    model = mixed()
    dropout = model[2][0]
    with eval_mode(model):
        del model[2]
    assert dropout.training


def test_an_overridden_train_cannot_keep_a_layer_in_train_mode():
    class Stubborn(nn.Dropout):
        def train(self, mode=True):
            return super().train(True)

    model = nn.Sequential(Stubborn())
    with eval_mode(model):
        assert not model[0].training
    assert model[0].training


def test_a_scripted_module_changes_mode():
    model = torch.jit.script(nn.BatchNorm2d(3)).train()
    with eval_mode(model):
        assert not model.training
    assert model.training


def test_undisturbed_restores_generators_grad_mode_and_dtype_after_an_error():
    torch_state, python_state = torch.get_rng_state(), random.getstate()
    numpy_state = np.random.get_state()[1].copy()

    def disturb():
        assert not torch.is_grad_enabled()
        torch.set_default_dtype(torch.float64)
        torch.rand(3), random.random(), np.random.rand()
        raise KeyError

    with pytest.raises(KeyError), undisturbed(seed=3):
        disturb()
    assert torch.equal(torch.get_rng_state(), torch_state)
    assert random.getstate() == python_state
    assert (np.random.get_state()[1] == numpy_state).all()
    assert torch.is_grad_enabled()
    assert torch.get_default_dtype() == torch.float32
