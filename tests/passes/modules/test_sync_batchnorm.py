"""revert_sync_batchnorm: plain layers by rank, with the whole state of what they stand for."""

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional

from bnexport.errors import Refused, UsageError
from bnexport.passes.modules import ActivatedBatchNorm, BatchNorm, revert_sync_batchnorm


def noise(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def plain(norm=nn.BatchNorm2d, conv=nn.Conv2d):
    """A network with statistics that are not trivial."""
    model = nn.Sequential(conv(3, 5, 3), norm(5), nn.ReLU(), conv(5, 4, 1), norm(4, eps=1e-3))
    for place, each in enumerate(model):
        if isinstance(each, norm):
            each.running_mean.copy_(noise(each.num_features, seed=place))
            each.running_var.copy_(noise(each.num_features, seed=place + 9).abs() + 0.1)
            each.num_batches_tracked.fill_(77)
            with torch.no_grad():
                each.weight.copy_(noise(each.num_features, seed=place + 19))
    return model.eval()


def synced(model):
    return nn.SyncBatchNorm.convert_sync_batchnorm(copy.deepcopy(model))


def fill(layer):
    """Statistics and affine that are not trivial, in place."""
    with torch.no_grad():
        layer.running_mean.copy_(noise(layer.running_mean.numel(), seed=1))
        layer.running_var.copy_(noise(layer.running_var.numel(), seed=2).abs() + 0.2)
        layer.weight.copy_(noise(layer.weight.numel(), seed=3))
        layer.weight[0] = -0.7
        layer.bias.copy_(noise(layer.bias.numel(), seed=4))
    return layer


RANKS = [
    (nn.BatchNorm1d, nn.Conv1d, (2, 3, 9)),
    (nn.BatchNorm2d, nn.Conv2d, (2, 3, 9, 9)),
    (nn.BatchNorm3d, nn.Conv3d, (2, 3, 5, 5, 5)),
]


@pytest.mark.parametrize(("norm", "conv", "shape"), RANKS)
@pytest.mark.parametrize("shown", [True, False], ids=["inputs", "no inputs"])
def test_saved_from_train_mode_it_equals_the_plain_model_bit_for_bit(norm, conv, shape, shown):
    model, x = plain(norm, conv), noise(*shape)
    reverted = revert_sync_batchnorm(synced(model).train(), (x,) if shown else None)
    assert [type(each) for each in reverted] == [type(each) for each in model]
    assert torch.equal(reverted.eval()(x), model(x))


def test_the_callers_module_is_unchanged():
    model = synced(plain()).train()
    model[1].eval()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    kinds = [(type(each), each.training, len(each._forward_pre_hooks)) for each in model.modules()]
    state = torch.get_rng_state()
    revert_sync_batchnorm(model, (noise(2, 3, 9, 9),))
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.is_grad_enabled()
    assert [
        (type(each), each.training, len(each._forward_pre_hooks)) for each in model.modules()
    ] == kinds
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())


def test_a_failing_forward_leaves_everything_as_it_was():
    model = synced(plain()).train()
    state = torch.get_rng_state()
    with pytest.raises(UsageError, match=r"--input"):
        revert_sync_batchnorm(model, (noise(2, 7, 9, 9),))
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.is_grad_enabled()
    assert all(each.training for each in model.modules())


def test_settings_keys_and_flags_survive():
    norm = nn.SyncBatchNorm(4, eps=0.25, momentum=None, dtype=torch.float64).train()
    norm.weight.requires_grad_(False)
    norm.num_batches_tracked.fill_(31)
    norm.note = "mine"
    model = nn.Sequential(norm).eval()
    norm.train()
    reverted = revert_sync_batchnorm(model, (noise(2, 4, 5, 5).double(),))
    twin = reverted[0]
    assert type(twin) is nn.BatchNorm2d
    assert (twin.eps, twin.momentum, twin.affine, twin.note) == (0.25, None, True, "mine")
    assert twin.training
    assert not reverted.training
    assert (twin.weight.requires_grad, twin.bias.requires_grad) == (False, True)
    assert twin.running_mean.dtype == torch.float64
    assert list(reverted.state_dict()) == list(model.state_dict())
    assert twin.num_batches_tracked == 31
    assert not hasattr(twin, "process_group")


@pytest.mark.parametrize("options", [{"affine": False}, {"track_running_stats": False}, {}])
def test_state_dict_keys_and_repr_are_those_of_a_plain_layer(options):
    reverted = revert_sync_batchnorm(nn.SyncBatchNorm(4, **options), (noise(2, 4, 5, 5),))
    expected = nn.BatchNorm2d(4, **options)
    assert list(reverted.state_dict()) == list(expected.state_dict())
    assert repr(reverted) == repr(expected)


def test_it_trains_like_a_plain_layer():
    reverted = revert_sync_batchnorm(nn.SyncBatchNorm(4), (noise(2, 4, 5, 5),)).train()
    expected = nn.BatchNorm2d(4).train()
    x = noise(2, 4, 5, 5)
    assert torch.equal(reverted(x), expected(x))
    assert torch.equal(reverted.running_var, expected.running_var)
    assert reverted.num_batches_tracked == 1


def test_hooks_survive_in_their_order():
    norm, seen = nn.SyncBatchNorm(4), []
    norm.register_forward_pre_hook(lambda layer, args: seen.append("pre"))
    norm.register_forward_hook(lambda layer, args, out: seen.append(type(layer)) or 2 * out)
    model = nn.Sequential(norm).eval()
    reverted = revert_sync_batchnorm(model, (noise(2, 4, 5, 5),))
    seen.clear()
    x = noise(2, 4, 5, 5, seed=5)
    assert torch.equal(reverted(x), model(x))
    assert seen[:2] == ["pre", nn.BatchNorm2d]


class Shared(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm = nn.SyncBatchNorm(3)
        self.again = self.norm
        self.inner = nn.ModuleList([nn.Sequential(self.norm)])
        self.loose = [self.norm]

    def forward(self, x):
        return self.again(self.inner[0](self.norm(x)))


def test_a_shared_layer_has_one_twin_everywhere():
    reverted = revert_sync_batchnorm(Shared(), (noise(2, 3, 4, 4),))
    assert type(reverted.norm) is nn.BatchNorm2d
    assert reverted.norm is reverted.again
    assert reverted.norm is reverted.inner[0][0]
    assert reverted.norm is reverted.loose[0]


def test_parameters_tied_to_another_layer_stay_tied():
    model = nn.Sequential(nn.SyncBatchNorm(3), nn.SyncBatchNorm(3))
    model[1].weight = model[0].weight
    reverted = revert_sync_batchnorm(model, (noise(2, 3, 4, 4),))
    assert reverted[0].weight is reverted[1].weight


def test_a_layer_that_sees_two_ranks_takes_both():
    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.norm = nn.SyncBatchNorm(3)

        def forward(self, x):
            return self.norm(self.norm(x).flatten(2))

    reverted = revert_sync_batchnorm(Two().eval(), (noise(2, 3, 4, 4),))
    assert type(reverted.norm) is BatchNorm
    assert reverted(noise(2, 3, 4, 4)).shape == (2, 3, 16)


def test_without_a_clue_the_twin_takes_any_rank():
    reverted = revert_sync_batchnorm(nn.SyncBatchNorm(3)).eval()
    assert type(reverted) is BatchNorm
    for rank in (2, 3, 4, 5, 6):
        assert reverted(noise(2, 3, *[2] * (rank - 2))).dim() == rank


def test_a_neck_behind_pooling_is_not_taken_for_a_convolutions():
    class Neck(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, 8, 3)
            self.pool = nn.AdaptiveAvgPool2d(1)
            self.neck = nn.SyncBatchNorm(8)

        def forward(self, x):
            return self.neck(self.pool(self.conv(x)).flatten(1))

    assert revert_sync_batchnorm(Neck())(noise(4, 3, 9, 9)).shape == (4, 8)


def test_linear_in_a_sequential_gives_1d():
    model = nn.Sequential(nn.Linear(6, 4), nn.SyncBatchNorm(4))
    assert type(revert_sync_batchnorm(model)[1]) is nn.BatchNorm1d


class Quiet(nn.SyncBatchNorm):
    """A subclass without a forward of its own."""


class Same(nn.SyncBatchNorm):
    def forward(self, x):
        y = functional.batch_norm(
            x, self.running_mean, self.running_var, self.weight, self.bias, False, 0.0, self.eps
        )
        return y


class Halved(nn.SyncBatchNorm):
    def forward(self, x):
        return super().forward(x) / 2


@pytest.mark.parametrize("kind", [Quiet, Same])
def test_a_subclass_that_computes_a_batchnorm_becomes_one(kind):
    model = nn.Sequential(fill(kind(3))).eval()
    x = noise(2, 3, 4, 4)
    reverted = revert_sync_batchnorm(model, (x,))
    assert type(reverted[0]) is nn.BatchNorm2d
    assert torch.equal(reverted(x), model(x))


def test_a_subclass_that_computes_something_else_stays():
    model = nn.Sequential(fill(Halved(3))).eval()
    x = noise(2, 3, 4, 4)
    reverted = revert_sync_batchnorm(model, (x,))
    assert type(reverted[0]) is Halved
    assert torch.equal(reverted(x), model(x))


def apex(**attributes):
    """A layer as apex has it: a BatchNorm whose forward needs CUDA kernels."""

    def forward(self, x):
        raise RuntimeError("syncbn needs CUDA")

    body = {"__module__": "apex.parallel.optimized_sync_batchnorm", "forward": forward}
    layer = type("SyncBatchNorm", (nn.modules.batchnorm._BatchNorm,), body)(3)
    layer.process_group = None
    vars(layer).update(attributes)
    return fill(layer).eval()


def test_apex_becomes_plain_by_rank():
    layer, x = apex(channel_last=False), noise(2, 3, 4, 4)
    reverted = revert_sync_batchnorm(nn.Sequential(layer), (x,))
    args = (layer.running_mean, layer.running_var, layer.weight, layer.bias)
    assert type(reverted[0]) is nn.BatchNorm2d
    assert torch.equal(reverted(x), functional.batch_norm(x, *args))


def test_apex_with_a_fused_relu_keeps_the_relu():
    layer, x = apex(fuse_relu=True), noise(2, 3, 4, 4)
    reverted = revert_sync_batchnorm(nn.Sequential(layer), (x,))
    args = (layer.running_mean, layer.running_var, layer.weight, layer.bias)
    assert torch.equal(reverted(x), functional.batch_norm(x, *args).relu())


def test_apex_channels_last_is_refused():
    with pytest.raises(Refused, match="channel_last"):
        revert_sync_batchnorm(apex(channel_last=True))


def activated(name, forward, activation="leaky_relu", parameter=0.2):
    """A layer as inplace_abn has it: no BatchNorm by class, activation by name."""

    def needs_kernels(self, x):
        raise ImportError("inplace_abn._backend")

    layer = type(name, (nn.Module,), {"forward": forward or needs_kernels})()
    layer.num_features, layer.eps, layer.momentum, layer.affine = 3, 1e-2, 0.1, True
    layer.activation, layer.activation_param = activation, parameter
    layer.weight, layer.bias = nn.Parameter(torch.ones(3)), nn.Parameter(torch.ones(3))
    layer.register_buffer("running_mean", torch.zeros(3))
    layer.register_buffer("running_var", torch.ones(3))
    return fill(layer).eval()


def normalised(layer, x, weight):
    mean, var = layer.running_mean, layer.running_var
    return functional.batch_norm(x, mean, var, weight, layer.bias, eps=layer.eps)


@pytest.mark.parametrize("name", ["InPlaceABN", "InPlaceABNSync"])
def test_in_place_layers_scale_by_the_absolute_weight_plus_eps(name):
    layer, x = activated(name, None), noise(2, 3, 4, 4)
    reverted = revert_sync_batchnorm(nn.Sequential(layer), (x,))
    expected = normalised(layer, x, layer.weight.abs() + layer.eps)
    assert type(reverted[0]) is ActivatedBatchNorm
    assert torch.equal(reverted(x), functional.leaky_relu(expected, 0.2))
    assert list(reverted[0].state_dict()) == list(layer.state_dict())
    assert (layer.weight < 0).any()  # the caller's weight is as it was


ACTIVATIONS = {
    "relu": functional.relu,
    "leaky_relu": lambda x: functional.leaky_relu(x, 0.2),
    "elu": lambda x: functional.elu(x, 0.2),
    "identity": lambda x: x,
    "none": lambda x: x,
}


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_abn_scales_by_its_weight_and_then_activates(activation):
    layer, x = activated("ABN", None, activation), noise(2, 3, 4, 4)
    reverted = revert_sync_batchnorm(layer, (x,))
    expected = ACTIVATIONS[activation](normalised(layer, x, layer.weight))
    assert torch.equal(reverted(x), expected)


def test_a_forward_that_runs_here_decides_the_formula():
    def forward(self, x):
        return functional.relu(normalised(self, x, self.weight))

    layer, x = activated("InPlaceABN", forward, "relu"), noise(2, 3, 4, 4)
    assert torch.equal(revert_sync_batchnorm(layer, (x,))(x), layer(x))


def test_a_forward_that_no_formula_matches_is_refused():
    layer = activated("InPlaceABN", lambda self, x: x.sin(), "relu")
    with pytest.raises(Refused, match="neither of the formulas"):
        revert_sync_batchnorm(layer)


def test_an_unknown_activation_is_refused():
    with pytest.raises(Refused, match="'swishy'"):
        revert_sync_batchnorm(activated("ABN", None, "swishy"))


def test_a_model_without_synchronised_layers_comes_back_as_a_copy():
    model = plain()
    reverted = revert_sync_batchnorm(model)
    assert reverted is not model
    assert repr(reverted) == repr(model)
