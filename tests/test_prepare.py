"""prepare: a copy in eval mode, unwrapped, without SyncBatchNorm, and what it says it did."""

import copy

import pytest
import torch
from torch import nn

from bnexport.errors import UsageError
from bnexport.inputs import Examples, InputSpec
from bnexport.prepare import prepare
from models import residual_classifier, sync_unet

IMAGES = Examples((InputSpec("x", (None, 3, 32, 32)),))


def synced():
    return nn.SyncBatchNorm.convert_sync_batchnorm(residual_classifier.build())


def test_a_model_in_order_needs_no_note():
    assert prepare(residual_classifier.build(), IMAGES).notes == ()


def test_train_mode_is_set_right_and_said():
    model = residual_classifier.build().train()
    prepared = prepare(model, IMAGES)
    assert prepared.notes == ("eval mode set: the model came in train mode",)
    assert not any(each.training for each in prepared.module.modules())
    assert all(each.training for each in model.modules())


def test_submodules_left_in_train_mode_are_named():
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout(0.5)).eval()
    model[1].train()
    model[2].train()
    notes = prepare(model, None).notes
    assert notes == ("eval mode set: 2 submodules were left in train mode: 1, 2",)


def test_a_synchronised_model_in_a_wrapper_equals_the_plain_one():
    plain = residual_classifier.build()
    prepared = prepare(nn.DataParallel(synced().train()), IMAGES)
    (x,) = IMAGES.batch(3)
    assert torch.equal(prepared.module(x), plain(x))
    assert list(prepared.module.state_dict()) == list(plain.state_dict())
    assert repr(prepared.module) == repr(plain)
    assert prepared.notes == (
        "DataParallel unwrapped",
        "eval mode set: the model came in train mode",
        "15 SyncBatchNorm made plain BatchNorm",
    )


def test_the_u_net_behind_convtranspose_gets_2d_layers():
    examples = Examples((InputSpec("image", (None, 3, 64, 64)),))
    module = prepare(sync_unet.build(), examples).module
    kinds = {type(each) for each in module.modules() if hasattr(each, "running_mean")}
    assert kinds == {nn.BatchNorm2d}


def test_a_keyword_only_input_reaches_its_parameter():
    class Keyword(nn.Module):
        def __init__(self):
            super().__init__()
            self.norm = nn.SyncBatchNorm(3)

        def forward(self, *, image, scale=2.0):
            return self.norm(image) * scale

    examples = Examples((InputSpec("image", (None, 3, 4, 4)),))
    assert type(prepare(Keyword(), examples).module.norm) is nn.BatchNorm2d


def test_an_override_of_train_is_honoured_on_the_copy_and_cannot_keep_a_layer_live():
    class Merging(nn.Module):
        def __init__(self):
            super().__init__()
            self.drop, self.merged = nn.Dropout(0.5), False

        def train(self, mode=True):
            self.merged = not mode
            return self

    model = Merging()
    prepared = prepare(model, None).module
    assert prepared.merged
    assert not prepared.drop.training
    assert not model.merged


def test_the_graph_of_an_exported_program_passes_through():
    x = IMAGES.batch(2)
    program = torch.export.export(residual_classifier.build(), x)
    module = prepare(program.module(), None).module
    assert torch.equal(module(*x), residual_classifier.build()(*x))


def test_a_failure_leaves_the_caller_and_the_process_as_they_were():
    model = synced().train()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    flags = [each.training for each in model.modules()]
    state = torch.get_rng_state()
    with pytest.raises(UsageError):
        prepare(model, Examples((InputSpec("x", (None, 5, 32, 32)),)))
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.is_grad_enabled()
    assert [each.training for each in model.modules()] == flags
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())


def test_a_success_leaves_them_too():
    model = synced().train()
    same = copy.deepcopy(model)
    state = torch.get_rng_state()
    prepare(model, IMAGES)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.is_grad_enabled()
    pairs = zip(model.state_dict().values(), same.state_dict().values(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)
    assert not any(each._forward_pre_hooks for each in model.modules())


def test_the_mode_of_a_module_just_built_says_nothing():
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)).train()
    prepared = prepare(module, None, just_built=True)
    assert prepared.notes == ()
    assert not any(layer.training for layer in prepared.module.modules())
