import pytest
import torch
from torch import nn

from bnexport.bench.entrants import RUNTIMES, entrants
from bnexport.cli.options import BENCHED
from bnexport.errors import UsageError
from bnexport.runnable import Reading, open_models

no_gpu = pytest.mark.skipif(torch.cuda.is_available(), reason="what is usual without a GPU")


def opened(*sources):
    return open_models(sources, Reading())


def named(found):
    return [(each.model.name, each.runtime, each.asked) for each in found]


def test_the_command_line_offers_what_there_is():
    assert sorted(BENCHED) == sorted(RUNTIMES)


@no_gpu
def test_usually_each_runs_in_what_serves_it(one):
    found = named(entrants(opened(nn.Linear(3, 3), one), ()))
    assert found == [
        ("linear", "torch", False),
        ("linear", "torch-compile", False),
        ("one.onnx", "ort", False),
    ]


def test_what_is_asked_for_is_asked_for_of_each_that_it_serves(one):
    found = named(entrants(opened(nn.Linear(3, 3), one), ("ort-plain", "torch", "ort")))
    assert found == [
        ("linear", "torch", True),
        ("one.onnx", "ort-plain", True),
        ("one.onnx", "ort", True),
    ]


def test_a_runtime_that_serves_nothing_is_an_error(one):
    with pytest.raises(UsageError, match="'torch' runs none of the models"):
        entrants(opened(one), ("ort", "torch"))


def test_a_model_that_would_be_left_out_is_an_error(one):
    with pytest.raises(UsageError, match=r"one\.onnx would not be measured"):
        entrants(opened(nn.Linear(3, 3), one), ("torch",))


def test_an_unknown_runtime_is_an_error(one):
    with pytest.raises(UsageError, match="runtime 'tflite'"):
        entrants(opened(one), ("tflite",))


def test_a_script_is_not_compiled_again():
    script = torch.jit.script(nn.Linear(3, 3))
    with pytest.raises(UsageError, match="torch-compile"):
        entrants(opened(script), ("torch-compile",))
