"""The reference models run, repeat, and hold the traps that they are named for."""

import importlib

import pytest
import torch

import models
from bnexport.health import UnhealthyModel, batch_norms, examine
from bnexport.inputs import Examples, complete, parse_input

SOUND = [name for name in models.NAMES if name != "batch_statistics"]


def load(name, seed=0):
    module = importlib.import_module(f"models.{name}")
    model = module.build(seed)
    specs = complete([parse_input(text) for text in module.INPUT], model)
    return model, Examples(specs)


@pytest.mark.parametrize("name", models.NAMES)
def test_runs_on_its_input_with_finite_outputs(name):
    model, examples = load(name)
    with torch.no_grad():
        output = model(*examples.batch(3))
    assert output.shape[0] == 3
    assert output.isfinite().all()
    assert 1e-3 < output.std() < 1e3


@pytest.mark.parametrize("name", models.NAMES)
def test_a_seed_names_one_model_and_leaves_the_random_state_alone(name):
    before = torch.get_rng_state()
    first, again, other = (load(name, seed)[0].state_dict() for seed in (0, 0, 1))
    assert torch.equal(before, torch.get_rng_state())
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert not all(torch.equal(first[key], other[key]) for key in first)


@pytest.mark.parametrize("name", SOUND)
def test_statistics_are_as_after_training(name):
    model, examples = load(name)
    examine(model, examples.batch(2))
    for facts in batch_norms(model):
        assert facts.tracked
        assert facts.weight_range[0] < 0 < facts.weight_range[1]
        assert facts.var_range != (1.0, 1.0)
    assert not any(each.training for each in model.modules())


def test_the_batch_dependent_one_is_refused():
    model, examples = load("batch_statistics")
    with pytest.raises(UnhealthyModel, match=r"encoder\.0\.1: .*no running mean and variance"):
        examine(model, examples.batch(2))
