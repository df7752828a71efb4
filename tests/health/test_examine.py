"""examine refuses what no file could stand for, and nothing else."""

import random

import pytest
import torch
from torch import nn
from torch.nn import functional

from bnexport.errors import Refused, UsageError
from bnexport.health import UnhealthyModel, examine


def noise(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


X = (noise(2, 3, 8, 8),)


class Calls(nn.Module):
    """A convolution, and then whatever the test says."""

    def __init__(self, then, **parts):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.then = then
        for name, part in parts.items():
            setattr(self, name, part)

    def forward(self, x):
        return self.then(self, self.conv(x))


def norms():
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))


def test_a_healthy_model_passes_in_train_mode_and_in_a_wrapper():
    examine(nn.DataParallel(norms().train()), X)


def test_no_running_statistics():
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4, track_running_stats=False))
    with pytest.raises(
        UnhealthyModel, match=r"^1: BatchNorm2d: no running mean and variance"
    ) as info:
        examine(model)
    assert "track_running_stats=True" in info.value.remedy


def test_statistics_taken_away_later():
    model = norms()
    model[1].running_var = None
    with pytest.raises(UnhealthyModel, match="no running variance"):
        examine(model)


def test_a_flipped_flag_with_buffers_is_fine():
    model = norms()
    model[1].track_running_stats = False
    examine(model, X)


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("running_mean", float("nan"), "running_mean holds 1 NaN of 4 values"),
        ("running_var", float("inf"), "running_var holds 1 Inf of 4 values"),
        ("running_var", -0.5, r"running_var is negative \(-0.5 at channel 2\)"),
    ],
)
def test_broken_statistics(name, value, said):
    model = norms()
    getattr(model[1], name)[2] = value
    with pytest.raises(UnhealthyModel, match=said):
        examine(model)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_broken_parameters_are_named(value):
    model = norms()
    model[0].weight.data[0, 0, 0, 0] = value
    with pytest.raises(UnhealthyModel, match=r"0\.weight: .* of 108 values"):
        examine(model)


def test_nan_in_a_buffer_is_refused_and_an_infinite_mask_is_not():
    model = norms()
    model.register_buffer("mask", torch.full((3, 3), -float("inf")))
    examine(model, X)
    model.mask[0, 0] = float("nan")
    with pytest.raises(UnhealthyModel, match="mask: it holds 1 NaN"):
        examine(model)


def test_every_problem_is_in_one_message_up_to_ten():
    model = nn.Sequential(*(nn.BatchNorm2d(3, track_running_stats=False) for _ in range(12)))
    with pytest.raises(UnhealthyModel) as info:
        examine(model)
    assert str(info.value).count("no running mean") == 10
    assert "and 2 more" in str(info.value)
    assert len(info.value.problems) == 12


def test_an_empty_module():
    with pytest.raises(Refused, match="holds no layer"):
        examine(nn.Module())


def test_meta_and_lazy_values():
    with pytest.raises(UnhealthyModel, match="meta device"):
        examine(nn.Linear(2, 2, device="meta"))
    with pytest.raises(UnhealthyModel, match="not initialised"):
        examine(nn.LazyLinear(2))


def batch_norm(self, y):
    return functional.batch_norm(y, None, None, training=True)


def test_batch_statistics_in_the_forward_of_the_model():
    with pytest.raises(UnhealthyModel, match="the model: its forward normalises by the batch"):
        examine(Calls(batch_norm), X)


def test_batch_statistics_are_laid_to_the_submodule():
    class Always(nn.BatchNorm2d):
        def forward(self, x):
            return functional.batch_norm(x, self.running_mean, self.running_var, training=True)

    model = Calls(lambda self, y: self.block(y), block=nn.Sequential(Always(4)))
    before = model.block[0].running_mean.clone()
    with pytest.raises(UnhealthyModel, match=r"^block\.0: "):
        examine(model, X)
    assert torch.equal(model.block[0].running_mean, before)


def test_scripted_batch_statistics():
    class Always(nn.Module):
        def forward(self, x):
            return torch.nn.functional.batch_norm(x, None, None, training=True)

    model = nn.Sequential(nn.Conv2d(3, 4, 3), torch.jit.script(Always()))
    with pytest.raises(UnhealthyModel, match="normalises by the batch"):
        examine(model, X)


def test_a_program_exported_in_train_mode():
    program = torch.export.export(norms().train(), X)
    with pytest.raises(UnhealthyModel, match=r"^1: it normalises by the batch"):
        examine(program.module())


def test_a_program_exported_in_eval_mode_is_fine():
    examine(torch.export.export(norms().eval(), X).module(), X)


@pytest.mark.parametrize("norm", [nn.InstanceNorm2d(4), nn.GroupNorm(2, 4), nn.LayerNorm(6)])
def test_normalisation_within_the_sample_is_fine(norm):
    examine(Calls(lambda self, y: self.norm(y), norm=norm), X)


def test_weight_standardisation_by_batch_norm_is_fine():
    class Standardised(nn.Conv2d):
        def forward(self, x):
            rows = self.weight.reshape(1, self.out_channels, -1)
            weight = functional.batch_norm(rows, None, None, training=True)
            return functional.conv2d(x, weight.reshape_as(self.weight), self.bias)

    examine(Standardised(3, 4, 3), X)


@pytest.mark.parametrize(
    "then",
    [
        lambda self, y: functional.dropout(y, 0.5, training=True),
        lambda self, y: y + torch.rand_like(y),
        lambda self, y: y * random.random(),
    ],
    ids=["dropout", "rand_like", "python"],
)
def test_random_outputs(then):
    with pytest.raises(UnhealthyModel, match="outputs are random"):
        examine(Calls(then), X)


def test_random_numbers_that_reach_no_output_are_fine():
    def then(self, y):
        torch.rand(3)
        return y

    examine(Calls(then), X)


def test_dropout_in_train_mode_is_fine_since_eval_mode_turns_it_off():
    examine(nn.Sequential(nn.Linear(8, 4), nn.Dropout(0.5)).train(), X)


def test_inputs_that_do_not_fit():
    with pytest.raises(UsageError, match=r"float32 \(2, 5, 8, 8\).*--input"):
        examine(norms(), (noise(2, 5, 8, 8),))


@pytest.mark.parametrize("fails", [False, True])
def test_the_caller_and_the_process_are_as_they_were(fails):
    model = (Calls(batch_norm) if fails else norms()).train()
    values = {key: value.clone() for key, value in model.state_dict().items()}
    torch_state, python_state, x = torch.get_rng_state(), random.getstate(), X[0].clone()
    try:
        examine(model, X)
    except UnhealthyModel:
        assert fails
    assert torch.equal(torch.get_rng_state(), torch_state)
    assert random.getstate() == python_state
    assert torch.is_grad_enabled()
    assert torch.equal(X[0], x)
    assert all(each.training for each in model.modules())
    assert not any(each._forward_hooks or each._forward_pre_hooks for each in model.modules())
    assert all(torch.equal(value, values[key]) for key, value in model.state_dict().items())
