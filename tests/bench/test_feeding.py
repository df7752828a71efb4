import numpy as np
import pytest
from torch import nn

from bnexport.bench.feeding import check_batches, examples_for, samples_in
from bnexport.errors import UsageError
from bnexport.inputs import Examples, InputSpec, parse_input
from bnexport.runnable import Reading, open_models

FIXED = Examples((InputSpec("x", (4, 3)), InputSpec("y", (4,))))


def opened(*sources):
    return open_models(sources, Reading())


def test_a_file_that_declares_its_inputs_is_asked_first(one):
    (spec,) = examples_for(opened(nn.Linear(3, 3), one), (), None).specs
    assert (spec.name, spec.shape) == ("x", (None, 3))


def test_of_modules_the_inputs_are_inferred():
    examples = examples_for(opened(nn.Sequential(nn.Linear(5, 2))), (), None)
    assert examples.specs[0].shape == (None, 5)


def test_a_shape_goes_to_the_modules_own_parameter():
    (spec,) = examples_for(opened(nn.Linear(5, 2)), (parse_input("Nx7x5"),), None).specs
    assert (spec.name, spec.shape) == ("input", (None, 7, 5))


def test_real_samples_are_fed(one, tmp_path):
    np.savez(tmp_path / "x.npz", x=np.float32([[1, 2, 3], [4, 5, 6]]))
    examples = examples_for(opened(one), (), tmp_path / "x.npz")
    assert examples.batch(2)[0].tolist() == [[1, 2, 3], [4, 5, 6]]


def test_a_shape_that_the_file_does_not_take_is_an_error(one):
    with pytest.raises(UsageError, match="does not fit"):
        examples_for(opened(one), (parse_input("x:Nx4"),), None)


def test_batches_are_each_measured_once(rows):
    assert check_batches(rows, (8, 1, 8)) == (8, 1)


def test_without_a_free_batch_there_is_no_sweep():
    assert check_batches(FIXED, (1,)) == (1,)
    with pytest.raises(UsageError, match="no free batch axis"):
        check_batches(FIXED, (1, 8))


def test_samples_are_those_of_the_inputs(rows):
    assert samples_in(rows, 8) == 8
    assert samples_in(FIXED, 1) == 4
