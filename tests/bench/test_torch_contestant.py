import numpy as np
import pytest
import torch
from torch import nn

from bnexport.bench.torch_contestant import OnProcessor, as_deployed
from bnexport.parity.runner import RunFailed
from bnexport.signature import Plain


class Named(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("one", torch.ones(()))

    def forward(self, x, *, scale):
        return {"scaled": x * scale, "plain": x + 0 * self.one}


def contestant(module, names=("x",), dtype=torch.float32):
    return OnProcessor(Plain(module.eval(), names).eval(), dtype, "net.pt", compiled=False)


def test_it_runs_and_names_its_outputs():
    x, scale = np.ones((2, 3), np.float32), np.float32([2.0])
    with contestant(Named(), ("x", "scale")) as made:
        made.lay((x, scale))
        assert made.timed() > 0
        outputs = made.outputs()
    np.testing.assert_array_equal(outputs["scaled"], 2 * x)
    assert list(outputs) == ["scaled", "plain"]


def test_floats_take_the_models_width():
    net = nn.Linear(3, 2).half()
    with contestant(net, ("input",), torch.float16) as made:
        made.lay((np.ones((2, 3), np.float32),))
        assert made.outputs()["output"].dtype == np.float16
    assert made.precision == "float16"


def test_no_gradients_are_kept():
    held = []
    net = nn.Linear(3, 2)
    net.register_forward_hook(lambda layer, given, output: held.append(output.requires_grad))
    with contestant(net, ("input",)) as made:
        made.lay((np.ones((2, 3), np.float32),))
    assert held == [False]


def test_inputs_that_do_not_fit_are_named():
    with (
        contestant(nn.Linear(3, 2), ("input",)) as made,
        pytest.raises(RunFailed, match=r"net\.pt"),
    ):
        made.lay((np.ones((2, 4), np.float32),))


@pytest.fixture
def tf32():
    """The caller lets TF32 be used."""
    matmul = torch.backends.cuda.matmul
    before, matmul.allow_tf32 = matmul.allow_tf32, True
    yield
    matmul.allow_tf32 = before


def test_the_callers_settings_come_back_on_error_too(tf32):
    threads = torch.get_num_threads()

    def fail():
        assert torch.get_num_threads() == threads + 1
        assert not torch.backends.cuda.matmul.allow_tf32
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError), as_deployed(threads + 1):
        fail()
    assert torch.get_num_threads() == threads
    assert torch.backends.cuda.matmul.allow_tf32
