"""What is read off BatchNorms and layers."""

import torch
from torch import nn

from bnexport.health import LayerFacts, batch_norms, layers


def test_a_healthy_layer_by_its_qualified_name():
    norm = nn.BatchNorm2d(3, eps=1e-3, momentum=0.2)
    norm.running_mean.copy_(torch.tensor([-1.0, 0.0, 4.0]))
    norm.num_batches_tracked.fill_(9)
    (facts,) = batch_norms(nn.ModuleDict({"stem": nn.Sequential(nn.Conv2d(3, 3, 1), norm)}))
    assert (facts.name, facts.kind, facts.channels) == ("stem.1", "BatchNorm2d", 3)
    assert (facts.eps, facts.momentum, facts.affine, facts.training) == (1e-3, 0.2, True, True)
    assert (facts.tracked, facts.mean_range, facts.var_range) == (9, (-1.0, 4.0), (1.0, 1.0))
    assert facts.problems == ()


def test_a_shared_layer_is_listed_once():
    norm = nn.BatchNorm1d(3)
    assert [each.name for each in batch_norms(nn.Sequential(norm, norm))] == ["0"]


def test_without_affine_there_is_no_weight_range():
    (facts,) = batch_norms(nn.BatchNorm2d(3, affine=False))
    assert (facts.affine, facts.weight_range, facts.channels) == (False, None, 3)


def test_a_frozen_layer_counts_by_its_buffers():
    class FrozenBatchNorm2d(nn.Module):
        def __init__(self):
            super().__init__()
            for name in ("weight", "bias", "running_mean", "running_var"):
                self.register_buffer(name, torch.ones(4))

    (facts,) = batch_norms(FrozenBatchNorm2d())
    assert (facts.kind, facts.channels, facts.eps, facts.tracked) == (
        "FrozenBatchNorm2d",
        4,
        None,
        None,
    )


def test_instance_norm_is_none():
    assert batch_norms(nn.InstanceNorm2d(3, track_running_stats=True)) == ()


def test_scripted_and_exported_layers_are_found():
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)).eval()
    (scripted,) = batch_norms(torch.jit.script(model))
    assert (scripted.name, scripted.kind, scripted.channels) == ("1", "BatchNorm2d", 4)
    (exported,) = batch_norms(torch.export.export(model, (torch.ones(2, 3, 8, 8),)).module())
    assert (exported.name, exported.channels) == ("1", 4)


def test_layers_are_those_with_parameters_of_their_own_or_nothing_below():
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.scale = nn.Parameter(torch.ones(5))
            self.body = nn.Sequential(nn.Linear(3, 2), nn.ReLU())

    assert layers(Model()) == (
        LayerFacts("", "Model", 5),
        LayerFacts("body.0", "Linear", 8),
        LayerFacts("body.1", "ReLU", 0),
    )
