"""What stands in for a convolution has its shape and type, whatever its arguments, and no other use is made of it."""

from __future__ import annotations

import numpy as np
import onnxruntime
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional

import bnexport
from bnexport.capture import recorded
from bnexport.capture.tape.stand_ins import stand_in
from bnexport.inputs import Examples, InputSpec
from bnexport.signature import Plain

EXAMPLES = Examples((InputSpec("x", (None, 3, 8, 8)),))


@st.composite
def convolutions(draw):
    axes, groups = draw(st.integers(1, 3)), draw(st.sampled_from([1, 2, 3]))
    transposed = draw(st.booleans())
    wide, narrow = groups * draw(st.integers(1, 3)), draw(st.integers(1, 3))
    kernel = [draw(st.integers(1, 4)) for _ in range(axes)]
    sizes = [draw(st.integers(4, 9)) for _ in range(axes)]
    stride, dilation = draw(st.integers(1, 3)), draw(st.integers(1, 2))
    padding = draw(st.one_of(st.integers(0, 3), st.sampled_from(["same", "valid"])))
    weight = torch.randn(wide, narrow, *kernel)
    options = {"stride": stride, "dilation": dilation, "groups": groups, "padding": padding}
    if transposed:
        options["padding"] = min(draw(st.integers(0, 2)), min(kernel) - 1)
        options["output_padding"] = draw(st.integers(0, max(stride, dilation) - 1))
    channels = wide if transposed else narrow * groups
    x = torch.randn(draw(st.integers(1, 3)), channels, *sizes)
    bias = torch.randn(narrow * groups if transposed else wide) if draw(st.booleans()) else None
    name = f"conv_transpose{axes}d" if transposed else f"conv{axes}d"
    return name, (x, weight, bias), options


@given(convolutions())
@settings(deadline=None, max_examples=300)
def test_it_is_as_large_as_what_it_stands_for(case):
    name, args, options = case
    function = getattr(functional, name)
    try:
        whole = function(*args, **options)
    except RuntimeError:
        with pytest.raises(RuntimeError):
            stand_in(name, function, args, options)
        return
    found = stand_in(name, function, args, options)
    assert found is not None
    assert (found.shape, found.dtype, found.device) == (whole.shape, whole.dtype, whole.device)
    assert not found.any()


@pytest.mark.parametrize(
    ("name", "args"),
    [
        ("conv2d", (torch.zeros(3, 8, 8), torch.zeros(4, 3, 3, 3))),
        ("conv2d", (torch.zeros(1, 5, 8, 8), torch.zeros(4, 3, 3, 3))),
        ("conv2d", (torch.zeros(0, 3, 8, 8), torch.zeros(4, 3, 3, 3))),
        ("linear", (torch.zeros(1, 3), torch.zeros(4, 3))),
    ],
)
def test_what_it_is_not_sure_of_is_computed(name, args):
    assert stand_in(name, getattr(functional, name), args, {}) is None


class Convolves(nn.Module):
    """A convolution, then what is to be tried."""

    def __init__(self, after=lambda y: y):
        super().__init__()
        self.weight, self.after = nn.Parameter(torch.randn(4, 3, 3, 3)), after

    def forward(self, x):
        return self.after(functional.conv2d(x, self.weight))


def test_only_the_larger_batch_is_told_of():
    module = Convolves().eval()
    captured = recorded(Plain(module, ["x"]).eval(), EXAMPLES)
    assert set(captured.outputs) == {2}
    (x,) = EXAMPLES.batch(2)
    torch.testing.assert_close(captured.outputs[2][0], functional.conv2d(x, module.weight))


def test_what_fails_on_zeros_is_left_to_export():
    def invert(y):
        return torch.linalg.inv(y[:, :3, :3, 0])

    found = recorded(Plain(Convolves(invert).eval(), ["x"]).eval(), EXAMPLES)
    assert isinstance(found, str)
    assert "fails while it is recorded" in found


def test_a_constant_is_computed_truly():
    class Ensemble(nn.Module):
        """Its weight is a convolution of weights."""

        def __init__(self):
            super().__init__()
            self.a = nn.Parameter(torch.randn(3, 3, 3, 3))
            self.b = nn.Parameter(torch.randn(4, 3, 1, 1))

        def forward(self, x):
            return functional.conv2d(x, functional.conv2d(self.a, self.b).transpose(0, 1))

    captured = recorded(Plain(Ensemble().eval(), ["x"]).eval(), EXAMPLES)
    assert not isinstance(captured, str)
    assert all(
        value.const_value.numpy().any() for value in captured.model.graph.initializers.values()
    )


KEPT: dict[tuple[int, ...], torch.Tensor] = {}


class Weighted(nn.Module):
    """Divides by how many pixels each place sees, which it computes once."""

    def __init__(self, keep):
        super().__init__()
        self.conv, self.keep = nn.Conv2d(3, 4, 3, padding=1), keep
        self.register_buffer("ones", torch.ones(1, 1, 3, 3))
        self.seen = None

    def forward(self, x):
        return self.conv(x) / self.keep(self, x)


def in_a_table(net, x):
    if x.shape[-2:] not in KEPT:
        KEPT[x.shape[-2:]] = functional.conv2d(torch.ones_like(x[:1, :1]), net.ones, padding=1)
    return KEPT[x.shape[-2:]]


def in_itself(net, x):
    if net.seen is None:
        net.seen = functional.conv2d(x.new_ones(1, 1, 8, 8), net.ones, padding=1)
    return net.seen


@pytest.mark.parametrize("proof", ["quick", "full"])
@pytest.mark.parametrize("keep", [in_a_table, in_itself])
def test_what_is_computed_once_is_computed_truly(keep, proof, tmp_path):
    KEPT.clear()
    net = Weighted(keep).eval()
    options = {"inputs": ["Nx3x8x8"], "batch": (1, 2), "proof": proof}
    made = bnexport.convert(net, tmp_path / "m.onnx", **options)
    assert all(float(each.min()) == 4 for each in KEPT.values())
    KEPT.clear()
    (x,) = EXAMPLES.batch(3)
    with torch.no_grad():
        right = net(x).numpy()
    session = onnxruntime.InferenceSession(str(made.path), providers=["CPUExecutionProvider"])
    np.testing.assert_allclose(session.run(None, {"x": x.numpy()})[0], right, rtol=1e-4, atol=1e-5)
    assert keep is in_a_table or made.document["options"]["capture"] == "fast"


def test_what_comes_of_zeros_is_no_number_to_anybody():
    """It is kept by the input's own numbers: whoever takes it up finds NaN, not zeros."""
    held = []

    def keep(y):
        held.append(y)
        return y * 2

    module = Convolves(keep).eval()
    before = module.weight.detach().clone()
    assert not isinstance(recorded(Plain(module, ["x"]).eval(), EXAMPLES), str)
    first, second = held
    assert bool(first.isnan().all())
    assert bool(second.isfinite().all())
    assert torch.equal(module.weight, before)


class Last(nn.Module):
    """Takes pictures with the channels last, and looks how they lie."""

    def __init__(self, after):
        super().__init__()
        self.conv, self.after = nn.Conv2d(8, 5, 3), after

    def forward(self, x):
        return self.after(self.conv(x.permute(0, 3, 1, 2)))


def flat(y):
    return y.permute(0, 2, 3, 1).view(y.shape[0], -1)


def asked(y):
    return y * 2 if y.is_contiguous(memory_format=torch.channels_last) else y * 3


@pytest.mark.parametrize("after", [flat, asked])
def test_the_channels_lie_where_they_would(after):
    examples = Examples((InputSpec("x", (None, 6, 6, 8)),))
    assert not isinstance(recorded(Plain(Last(after).eval(), ["x"]).eval(), examples), str)
