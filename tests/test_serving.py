"""A serving wrapper: eval mode and no gradients on every call, under threads, whatever others do."""

from __future__ import annotations

import copy
import io
import logging
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import nn

from bnexport import EvalOnly, UsageError


def net() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Dropout(0.5)).train()


def test_every_call_is_in_eval_mode_without_gradients():
    model = net()
    served, x = EvalOnly(model), torch.randn(1, 3)
    model.train()  # by another reference
    first = served(x)
    assert not first.requires_grad
    assert torch.equal(first, served(x))
    assert not any(layer.training for layer in model.modules())


def test_a_layer_put_back_into_train_mode_is_overruled_and_told(caplog):
    served = EvalOnly(net())
    served.module[1].train()
    before = served.module[1].running_mean.clone()
    with caplog.at_level(logging.WARNING, "bnexport.serving"):
        served(torch.randn(4, 3))
    assert torch.equal(served.module[1].running_mean, before)
    assert "1 layers were in train mode (1): put back" in caplog.text


def test_it_cannot_be_trained():
    served = EvalOnly(net())
    with pytest.raises(UsageError, match="Train the module inside"):
        served.train()
    assert served.eval() is served
    with pytest.raises(UsageError):
        nn.Sequential(served).train()


def test_each_batch_size_is_told_once(caplog):
    served = EvalOnly(net())
    with caplog.at_level(logging.INFO, "bnexport.serving"):
        for size in (2, 1, 2, 1, 5):
            served(torch.randn(size, 3))
        served.module = nn.Identity()
        served(input=torch.randn(7, 3))
        served("no tensor")
    told = [record.message for record in caplog.records if "batch" in record.message]
    assert told == ["first batch of 2", "first batch of 1", "first batch of 5", "first batch of 7"]


def test_threads_give_what_one_gives():
    model = net()
    served = EvalOnly(model)
    inputs = [torch.randn(1 + i % 5, 3) for i in range(200)]
    wanted = [served(x) for x in inputs]

    def call(i: int) -> torch.Tensor:
        if i % 17 == 0:
            model[2].training = True  # somebody's mistake, put right at the next call
            served(inputs[i])
        return served(inputs[i])

    with ThreadPoolExecutor(8) as pool:
        results = [pool.submit(served, x) for x in inputs]
        assert all(
            torch.equal(result.result(), right)
            for result, right in zip(results, wanted, strict=True)
        )
        list(pool.map(call, range(100)))
    assert not any(layer.training for layer in model.modules())


def test_gradients_of_the_caller_are_left_on():
    served = EvalOnly(net())
    served(torch.randn(2, 3, requires_grad=True))
    assert torch.is_grad_enabled()


def test_it_is_copied_and_pickled():
    served = EvalOnly(net())
    x = torch.randn(2, 3)
    stream = io.BytesIO()
    torch.save(served, stream)
    stream.seek(0)
    loaded = torch.load(stream, weights_only=False)
    for other in (copy.deepcopy(served), loaded):
        assert torch.equal(other(x), served(x))
