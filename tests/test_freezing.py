"""BatchNorm frozen for fine-tuning: through train(), copies and pickles, and back again."""

from __future__ import annotations

import copy
import io

import pytest
import torch
from torch import nn

from bnexport import freeze_batch_norm


def net() -> nn.Sequential:
    torch.manual_seed(0)
    body = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout(0.5))
    return nn.Sequential(body, nn.SyncBatchNorm(4), nn.Flatten(), nn.LazyLinear(2))


def test_it_stays_frozen_while_the_rest_trains():
    model = net()
    frozen = freeze_batch_norm(model)
    assert frozen.names == ("0.1", "1")
    model.train().train().train(True)
    assert model.training
    assert model[0][2].training
    assert not model[0][1].training
    assert not model[1].training


def test_statistics_are_used_and_not_updated():
    model = net()[0]
    model[1].running_mean += 3
    freeze_batch_norm(model)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    x = torch.randn(8, 3, 8, 8)
    model.train()
    torch.manual_seed(1)
    trained = model(x)
    trained.sum().backward()
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert model[0].weight.grad is not None
    assert model[1].weight.grad is None
    model[2].eval()
    torch.testing.assert_close(model(x), nn.Sequential(*model[:2])(x))


def test_undoing_gives_all_back():
    model = net()
    model[0][1].eval()
    model[1].bias.requires_grad_(False)
    frozen = freeze_batch_norm(model)
    frozen.undo()
    frozen.undo()
    assert not model[0][1].training
    assert model[1].training
    assert model[1].weight.requires_grad
    assert not model[1].bias.requires_grad
    model.train()
    assert model[0][1].training
    assert "train" not in vars(model[0][1])


def test_within_a_block():
    model = net()
    with freeze_batch_norm(model) as frozen:
        assert len(frozen.names) == 2
        assert not model.train()[1].training
    assert model.train()[1].training


def fail() -> None:
    raise RuntimeError


def test_an_exception_undoes_too():
    model = net()
    with pytest.raises(RuntimeError), freeze_batch_norm(model):
        fail()
    assert model.train()[1].training


def test_freezing_twice_undoes_in_any_order():
    model = net()
    first, second = freeze_batch_norm(model), freeze_batch_norm(model)
    assert second.names == ()
    second.undo()
    assert not model.train()[1].training
    first.undo()
    assert model.train()[1].training


def test_the_affine_part_may_train():
    model = net()
    freeze_batch_norm(model, affine=False)
    assert model[1].weight.requires_grad


def test_copies_and_pickles_stay_frozen_on_their_own():
    model = net()[0]
    frozen = freeze_batch_norm(model)
    copied = copy.deepcopy(model)
    stream = io.BytesIO()
    torch.save(model, stream)
    stream.seek(0)
    loaded = torch.load(stream, weights_only=False)
    frozen.undo()
    for other in (copied, loaded):
        assert not other.train()[1].training
    assert model.train()[1].training


def test_a_model_that_is_one_layer():
    layer = nn.BatchNorm1d(3)
    freeze_batch_norm(layer)
    assert not layer.train().training


def test_a_state_dict_is_as_ever():
    model = net()[0]
    keys = list(model.state_dict())
    freeze_batch_norm(model)
    assert list(model.state_dict()) == keys
