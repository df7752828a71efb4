"""PyTorch as a runtime: another precision on a copy, and nothing of the caller's disturbed."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from bnexport.parity import ExportedRunner, RunFailed, TorchRunner, TorchScriptRunner
from bnexport.signature import Plain

pytestmark = pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning")

X = (np.random.default_rng(0).standard_normal((2, 3, 8, 8)).astype(np.float32),)


def test_float64_is_float64(net: Plain) -> None:
    with TorchRunner(net, dtype=torch.float64) as runner:
        outputs = runner.run(X)
    assert {array.dtype.name for array in outputs} == {"float64"}
    assert runner.precision == "float64"
    assert {p.dtype for p in net.parameters()} == {torch.float32}


def test_tensors_kept_as_attributes_are_converted_too() -> None:
    class Attribute(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.kernel = torch.randn(4, 3)

        def forward(self, x: torch.Tensor) -> tuple[torch.Tensor]:
            return (nn.functional.linear(x.mean((2, 3)), self.kernel),)

    module = Attribute().eval()
    assert TorchRunner(module, dtype=torch.float64).run(X)[0].dtype == np.float64
    assert module.kernel.dtype == torch.float32


def test_a_model_that_writes_into_its_input_does_not_reach_ours() -> None:
    class Inplace(nn.Module):
        def forward(self, x: torch.Tensor) -> tuple[torch.Tensor]:
            return (x.add_(1),)

    x = (X[0].copy(),)
    TorchRunner(Inplace().eval()).run(x)
    np.testing.assert_array_equal(x[0], X[0])


def test_a_failing_model_says_so_in_one_line() -> None:
    class Failing(nn.Module):
        def forward(self, x: torch.Tensor) -> tuple[torch.Tensor]:
            raise KeyError("lost\nand more")

    with pytest.raises(RunFailed, match="PyTorch cannot run the model in float32: 'lost"):
        TorchRunner(Failing().eval()).run(X)


def test_settings_come_back_after_a_failure() -> None:
    class Failing(nn.Module):
        def forward(self, x: torch.Tensor) -> tuple[torch.Tensor]:
            torch.rand(1)
            raise ValueError

    before = torch.get_rng_state(), torch.backends.cudnn.allow_tf32
    with pytest.raises(RunFailed, match="ValueError"):
        TorchRunner(Failing().eval()).run(X)
    assert torch.equal(torch.get_rng_state(), before[0])
    assert torch.backends.cudnn.allow_tf32 == before[1]
    assert torch.is_grad_enabled()


def test_the_narrowest_weights_name_the_precision(net: Plain) -> None:
    net.model.fc.half()
    assert TorchRunner(net).precision == "float16"
    assert TorchRunner(nn.ReLU()).precision == "float32"


def test_files_that_were_written_give_what_the_module_gives(net: Plain, tmp_path: Path) -> None:
    tensor = torch.from_numpy(X[0])
    script, archive = tmp_path / "a.pt", tmp_path / "a.pt2"
    torch.jit.trace(net, (tensor,)).save(str(script))
    torch.export.save(torch.export.export(net, (tensor,)), str(archive))
    expected = TorchRunner(net).run(X)
    for runner in (TorchScriptRunner(script), ExportedRunner(archive)):
        with runner:
            for a, b in zip(runner.run(X), expected, strict=True):
                np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


def test_a_file_that_is_not_there_fails_to_run(tmp_path: Path) -> None:
    with pytest.raises(RunFailed, match="TorchScript cannot run"):
        TorchScriptRunner(tmp_path / "none.pt").__enter__()
