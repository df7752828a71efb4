"""Graphs that invite a wrong fold: whatever is done to them, the numbers stay, at each opset."""

from __future__ import annotations

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from graph_text import HEAD, feeds, graph, run

from bnexport.passes.graphs import DropZeroBias, FoldBatchNorm

IMAGE = "(float[N,4,8,8] x) => (float[N,C,H,K] y) "
BN = {"g": (4,), "b": (4,), "m": (4,), "v": (4,)}
NORM = "y = BatchNormalization (s, g, b, m, v) }"
HALVES = "{ a = Conv (x, W)  p, q = Split <axis=1, num_outputs=2> (a)  "
CUTS = (
    "{ a = Conv (x, W)  z = Constant <value = int64[1] {0}> ()  f = Constant <value = int64[1] {4}> ()"
    "  e = Constant <value = int64[1] {8}> ()  o = Constant <value = int64[1] {1}> ()  "
    "h = Constant <value = int64[1] {2}> ()  t = Constant <value = int64[1] {6}> ()  "
)

# two branches of one plan that meet in one producer; parts that something else reads
GRAPHS = {
    "halves_added": (IMAGE + HALVES + "s = Add (p, q)  " + NORM, {"W": (8, 4, 3, 3), **BN}),
    "halves_subtracted": (IMAGE + HALVES + "s = Sub (p, q)  " + NORM, {"W": (8, 4, 3, 3), **BN}),
    "halves_swapped": (
        IMAGE + HALVES + "s = Concat <axis=1> (q, p)  " + NORM,
        {"W": (8, 4, 3, 3), "g": (8,), "b": (8,), "m": (8,), "v": (8,)},
    ),
    "slices_swapped": (
        IMAGE + CUTS + "p = Slice (a, z, f, o)  q = Slice (a, f, e, o)"
        "  s = Concat <axis=1> (q, p)  " + NORM,
        {"W": (8, 4, 3, 3), "g": (8,), "b": (8,), "m": (8,), "v": (8,)},
    ),
    "an_overlapping_slice_is_an_output": (
        "(float[N,4,8,8] x) => (float[N,4,6,6] q, float[N,C,H,K] y) "
        + CUTS
        + "s = Slice (a, z, f, o)  q = Slice (a, h, t, o)  "
        + NORM,
        {"W": (8, 4, 3, 3), **BN},
    ),
    "a_slice_backwards": (
        IMAGE + "{ a = Conv (x, W)  z = Constant <value = int64[1] {-100}> ()"
        "  i = Constant <value = int64[1] {-9223372036854775807}> ()"
        "  o = Constant <value = int64[1] {1}> ()  r = Constant <value = int64[1] {-1}> ()"
        "  l = Constant <value = int64[1] {7}> ()  s = Slice (a, l, i, o, r)  y = Mul (s, k) }",
        {"W": (8, 4, 3, 3), "k": (8, 1, 1)},
    ),
    "a_batch_of_matrices_times_a_vector": (
        "(float[5] x) => (float[3,3] y) { a = MatMul (W, x)  y = Mul (a, k) }",
        {"W": (3, 3, 5), "k": (3, 1)},
    ),
    "behind_a_cast_to_integers": (
        "(float[N,4] x) => (float[N,4] y) { s = Mul (x, k)  i = Cast <to=6> (s)  y = Cast <to=1> (i) }",
        {"k": (4,)},
    ),
    "truncated_on_the_way_to_a_gemm": (
        "(float[N,4] x) => (float[N,6] y) { s = Mul (x, k)  i = Cast <to=7> (s)  f = Cast <to=1> (i)"
        "  y = Gemm (f, W) }",
        {"k": (4,), "W": (4, 6)},
    ),
    "a_factor_that_makes_channels_for_a_conv": (
        "(float[N,1,8,8] x) => (float[N,6,H,K] y) { s = Mul (x, k)  y = Conv (s, W) }",
        {"k": (1, 3, 1, 1), "W": (6, 3, 3, 3)},
    ),
    "no_elements": (
        "(float[N,0,4] x) => (float[N,P,Q,R] y) { o = Constant <value = int64[1] {1}> ()"
        "  a = Unsqueeze (x, o)  y = Mul (a, k) }",
        {"k": (4,)},
    ),
    "what_is_undone_passes_the_split_that_the_shift_comes_to": (
        "(float[N,4,8,8] x) => (float[N,C,H,K] y, float[N,D,I,J] z) "
        "{ w = Conv <pads=[1,1,1,1]> (x, W)  a, q = Split <axis=1, num_outputs=2> (w)"
        "  u = MaxPool <kernel_shape=[3,3], pads=[1,1,1,1]> (a)"
        "  n = BatchNormalization (u, g, b, m, v)  y = Conv <pads=[1,1,1,1]> (n, W2)  z = Add (u, q) }",
        {"W": (8, 4, 3, 3), "W2": (4, 4, 3, 3), **BN},
    ),
    "gemm_that_ignores_a_bias": (
        "(float[N,5] x) => (float[N,4] y) { s = Gemm <beta=0.0> (x, W)  "
        "y = BatchNormalization (s, g, b, m, v) }",
        {"W": (5, 4), **BN},
    ),
}


@pytest.mark.parametrize(("text", "constants"), GRAPHS.values(), ids=GRAPHS)
def test_the_numbers_stay(text, constants):
    before, model = graph(text, **constants), graph(text, **constants)
    FoldBatchNorm()(model)
    x = feeds(before, 3)
    for after, expected in zip(run(model, x), run(before, x), strict=True):
        np.testing.assert_allclose(after, expected, rtol=1e-4, atol=1e-4)


def test_a_default_that_a_caller_may_replace_is_not_a_constant():
    text = (
        "(float[N,4,8,8] x, int64[8] p) => (float[N,C,H,K] y) "
        "{ a = Conv (x, W)  s = Pad (a, p)  " + NORM
    )
    model = graph(text, W=(4, 4, 3, 3), **BN)
    pads = next(value for value in model.graph.inputs if value.name == "p")
    pads.const_value = ir.tensor(np.zeros(8, np.int64), name="p")
    model.graph.register_initializer(pads)
    FoldBatchNorm()(model)
    assert [node.op_type for node in model.graph][-1] in ("BatchNormalization", "Add")
    before = graph(text, W=(4, 4, 3, 3), **BN)
    x = feeds(before, 2) | {"p": np.array([0, 0, 1, 1, 0, 0, 1, 1], np.int64)}
    np.testing.assert_allclose(run(model, x)[0], run(before, x)[0], rtol=1e-4, atol=1e-4)


def old(text: str, opset: int, **shapes: tuple[int, ...]) -> ir.Model:
    """A graph of an older opset."""
    head = HEAD.replace('"" : 18', f'"" : {opset}')
    proto = onnx.parser.parse_model(head + text)
    for name, shape in shapes.items():
        numbers = np.random.default_rng(len(name)).random(shape).astype(np.float32) + 0.5
        proto.graph.initializer.append(onnx.numpy_helper.from_array(numbers, name))
    return ir.from_proto(onnx.shape_inference.infer_shapes(proto))


@pytest.mark.parametrize("opset", [9, 10])
def test_pads_that_are_an_attribute(opset):
    text = (
        IMAGE + '{ a = Conv (x, W)  s = Pad <mode="reflect", pads=[0,0,1,1,0,0,1,1]> (a)  ' + NORM
    )
    before, model = (old(text, opset, W=(4, 4, 3, 3), **BN) for _ in range(2))
    FoldBatchNorm()(model)
    x = feeds(before, 2)
    np.testing.assert_allclose(run(model, x)[0], run(before, x)[0], rtol=1e-4, atol=1e-4)


def test_a_gemm_that_must_have_a_bias_keeps_its_zeros():
    model = old("(float[N,5] x) => (float[N,6] y) { y = Gemm (x, W, c) }", 9, W=(5, 6), c=(6,))
    zeros = ir.tensor(np.zeros(6, np.float32), name="c")
    model.graph.initializers["c"].const_value = zeros
    assert not DropZeroBias()(model).modified


def test_a_batch_norm_of_a_value_without_a_shape_leaves_no_operator_that_could_not_be_typed():
    text = (
        "(float[N,4,8,8] x, int64[K] t) => (float[N,C,H,W] y) "
        "{ r = Reshape (x, t)  s = BatchNormalization (r, g, b, m, v)  y = Conv <pads=[1,1,1,1]> (s, W) }"
    )
    model = graph(text, W=(4, 4, 3, 3), **BN)
    FoldBatchNorm()(model)
    assert [node.op_type for node in model.graph] == ["Reshape", "BatchNormalization", "Conv"]


def test_a_batch_norm_that_mixes_two_types_keeps_both():
    text = "(float16[N,4,8,8] x) => (float16[N,4,8,8] y) { q = Sigmoid (x)  s = Mul (q, k)  " + NORM
    before, model = (graph(text, "float16", k=(4, 1, 1), **BN) for _ in range(2))
    for each in (before, model):
        for name in ("m", "v"):
            wide = each.graph.initializers[name]
            wide.const_value = ir.tensor(wide.const_value.numpy().astype(np.float32), name=name)
            wide.dtype = ir.DataType.FLOAT
    FoldBatchNorm()(model)
    assert [node.op_type for node in model.graph] == ["Sigmoid", "BatchNormalization"]
    x = feeds(before, 2)
    np.testing.assert_allclose(run(model, x)[0], run(before, x)[0], rtol=2e-3, atol=2e-3)


def test_a_batch_norm_with_a_mean_for_each_element_stays():
    text = (
        "(float[2,4,4,4] x) => (float[2,4,4,4] y) "
        "{ a = Conv (x, W)  y = BatchNormalization <spatial=0> (a, g, b, m, v) }"
    )
    planes = dict.fromkeys(("g", "b", "m", "v"), (4, 4, 4))
    model = old(text, 7, W=(4, 4, 1, 1), **planes)
    FoldBatchNorm()(model)
    assert [node.op_type for node in model.graph] == ["Conv", "BatchNormalization"]


def test_a_batch_norm_that_returns_its_statistics_is_training():
    text = (
        "(float[N,4,8,8] x) => (float[N,4,6,6] y, float[4] r) { s = Conv (x, W)"
        "  y, r, t, c, d = BatchNormalization (s, g, b, m, v) }"
    )
    with pytest.raises(ir.passes.PreconditionError, match="training mode"):
        FoldBatchNorm()(old(text, 13, W=(4, 4, 3, 3), **BN))
