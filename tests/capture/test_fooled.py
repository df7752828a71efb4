"""What a recorder could be fooled by is written truly, or left to torch.export: never a wrong file."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import onnxruntime
import pytest
import torch

from bnexport.capture import Captured, recorded
from bnexport.inputs import Examples, InputSpec
from bnexport.signature import Plain
from tests.capture.foolers import FOOLERS

EXAMPLES = Examples((InputSpec("x", (None, 3, 8, 8)),))
# They are written: what they do is the same at every batch size and on every number.
TAKEN = {
    *("groups", "to_batch", "halves", "flat_batch", "counted_zeros", "expanded", "where"),
    *("cached_grid", "in_place", "custom", "weights_computed", "pair", "named", "a_parameter"),
    *("a_constant", "chosen", "switched", "in_place_then_old", "in_four"),
    *("kept_grid_and_written", "kept_shape"),
}


def taken(name: str) -> Captured | str:
    plain = Plain(FOOLERS[name](), ["x"]).eval()
    return recorded(plain, EXAMPLES)


def agrees(name: str, captured: Captured, batch: int, scale: float) -> bool:
    """Of a module that was never recorded, on numbers that were not."""
    x = scale * torch.randn(batch, 3, 8, 8, generator=torch.Generator().manual_seed(batch))
    plain = Plain(FOOLERS[name](), ["x"]).eval()
    with torch.no_grad():
        right = [output.detach() for output in plain(x)]
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    model = ir.to_proto(captured.model).SerializeToString()
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    found = session.run(None, {"x": x.numpy()})
    assert [value.name for value in session.get_outputs()] == list(plain.outputs)
    return all(
        a.shape == tuple(b.shape) and np.allclose(a, b, rtol=1e-4, atol=1e-4 * abs(scale))
        for a, b in zip(found, right, strict=True)
    )


@pytest.mark.parametrize("name", FOOLERS)
def test_no_module_is_written_wrongly(name):
    captured = taken(name)
    if isinstance(captured, str):
        assert captured.startswith("captured by torch.export: ")
        assert name not in TAKEN
        return
    assert name in TAKEN
    assert all(agrees(name, captured, n, s) for n, s in [(1, 1), (2, 1), (3, 1), (5, -1), (8, 30)])


@pytest.mark.parametrize("name", ["kept_shape", "kept_in_a_list", "cached_grid", "counted"])
def test_what_it_keeps_is_as_before(name):
    module = FOOLERS[name]()
    before = dict(vars(module))
    recorded(Plain(module, ["x"]).eval(), EXAMPLES)
    assert vars(module) == before


def test_the_outputs_are_those_of_the_inputs_as_they_were_given():
    plain = Plain(FOOLERS["kept_grid_and_written"](), ["x"]).eval()
    captured = recorded(plain, EXAMPLES)
    fresh = Plain(FOOLERS["kept_grid_and_written"](), ["x"]).eval()
    with torch.no_grad():
        right = fresh(*EXAMPLES.batch(2))[0]
    torch.testing.assert_close(captured.outputs[2][0], right)


def test_nothing_is_left_behind_by_a_recording():
    module = FOOLERS["in_place"]()
    before = {key: value.clone() for key, value in module.state_dict().items()}
    recorded(Plain(module, ["x"]).eval(), EXAMPLES)
    assert all(torch.equal(value, before[key]) for key, value in module.state_dict().items())
    assert not any("_bnexport_tape" in vars(each) for each in module.parameters())
    assert not torch.nn.modules.module._global_forward_hooks
    assert not torch.nn.modules.module._global_forward_pre_hooks
