"""The hooks see what BatchNorms are given, and go."""

import pytest
import torch
from torch import nn

from bnexport.moments import channels_first, watching


def net():
    return nn.Sequential(
        nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.Flatten(), nn.BatchNorm1d(16)
    ).eval()


def test_each_layer_is_seen_in_order():
    model, seen = net(), []
    layers = {"1": model[1], "3": model[3]}
    with watching(layers, lambda each: seen.append((each.name, tuple(each.values.shape)))):
        model(torch.randn(2, 3, 2, 2))
    model(torch.randn(2, 3, 2, 2))
    assert seen == [("1", (2, 4, 2, 2)), ("3", (2, 16))]


def test_the_hooks_go_after_an_error():
    model = net()
    with pytest.raises(RuntimeError), watching({"1": model[1]}, lambda each: None):
        model(torch.randn(2, 5, 2, 2))
    assert not model[1]._forward_pre_hooks


def test_the_last_axis_where_only_that_fits():
    assert channels_first(torch.zeros(2, 7, 5, 4), 4).shape == (2, 4, 7, 5)
    assert channels_first(torch.zeros(2, 4, 5, 4), 4).shape == (2, 4, 5, 4)
    assert channels_first(torch.zeros(2, 7, 5), 9).shape == (2, 7, 5)
