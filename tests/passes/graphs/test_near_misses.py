"""Graphs that invite a wrong fold: whatever is done to them, the numbers stay, at each opset."""

from __future__ import annotations

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from graph_text import HEAD, feeds, graph, run

from bnexport.passes.graphs import (
    DropZeroBias,
    FoldBatchNorm,
    FoldConstants,
    InferShapes,
    NameBatch,
    pipeline,
)
from bnexport.passes.graphs.simplify import weight_bytes

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
    "an_einsum_whose_constant_stands_for_several": (
        "(float[N,4,6] x) => (float[N,L,K] y) { a = Sigmoid (x)  n = Mul (a, k)  s = Add (n, c)"
        '  y = Einsum <equation="bld,de->ble"> (s, W) }',
        {"k": (1,), "c": (1,), "W": (1, 5)},
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


SHUFFLE = (
    "(float[2,4,?,8] x) => (float[2,4,?,8] y) <float[2,4,?,8] c, float[4,2,2,?,8] a, "
    "float[4,2,2,?,8] t, float[2,4,?,8] d> { c = Conv (x, W)  i = Constant <value = int64[5] {4,2,2,-1,8}> ()"
    "  a = Reshape (c, i)  t = Transpose <perm=[0,2,1,3,4]> (a)"
    "  o = Constant <value = int64[4] {2,4,-1,8}> ()  d = Reshape (t, o)  y = Mul (d, k) }"
)
WIDENED = (
    "(float[1,1,?,?] x, int64[4] s) => (float[1,4,?,?] y) <float[1,3,?,?] e> "
    "{ e = Expand (x, s)  y = Conv (e, W) }"
)


@pytest.mark.parametrize(
    ("text", "constants", "inputs"),
    [
        (SHUFFLE, {"W": (4, 4, 1, 1), "k": (4, 1, 1)}, {"x": np.ones((2, 4, 6, 8), np.float32)}),
        (
            WIDENED,
            {"W": (4, 3, 3, 3)},
            {"x": np.ones((1, 1, 1, 1), np.float32), "s": np.array([1, 3, 8, 8])},
        ),
    ],
    ids=["shuffle", "widened"],
)
def test_two_sizes_that_nobody_knows_may_differ(text, constants, inputs):
    """As a file may state them; inference would have named them."""
    proto = onnx.parser.parse_model(HEAD + text)
    draw = np.random.default_rng(0)
    for name, shape in constants.items():
        numbers = draw.standard_normal(shape).astype(np.float32)
        proto.graph.initializer.append(onnx.numpy_helper.from_array(numbers, name))
    before, model = ir.from_proto(proto), ir.from_proto(proto)
    for each in pipeline(lambda fate: None, simplify=False):
        if not isinstance(each, InferShapes | NameBatch):
            model = each(model).model
    x = {name: draw.standard_normal(a.shape).astype(a.dtype) + a for name, a in inputs.items()}
    x |= {"s": inputs["s"]} if "s" in inputs else {}
    np.testing.assert_allclose(run(model, x)[0], run(before, x)[0], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("text", "constants", "left"),
    [
        (
            "(float[N,600,600] x) => (float[N,600,600] y) "
            "{ i = Constant <value = int64[2] {600,600}> ()  r = Expand (k, i)  y = Add (x, r) }",
            {"k": (1,)},
            ["Expand", "Add"],
        ),
        (
            "(float[N,600,600] x) => (float[N,600,600] y) "
            "{ i = Constant <value = int64[2] {600,600}> ()  r = Tile (k, i)  y = Add (x, r) }",
            {"k": (1, 1)},
            ["Tile", "Add"],
        ),
        (
            "(int64[N,4] i, float[N,512] h) => (float[N,4,512] y, float[N,C] z) "
            "{ a = Gather (T, i)  y = Mul (a, k)  t = Transpose (T)  z = MatMul (h, t) }",
            {"T": (8200, 512), "k": (1,)},
            ["Gather", "Mul", "Transpose", "MatMul"],
        ),
        (
            "(float[N,3,34,34] x) => (float[N,64,32,32] y) "
            "{ c = Conv (x, W)  s = Add (c, k)  y = BatchNormalization (s, g, b, m, v) }",
            {"W": (64, 3, 3, 3), "k": (1, 1, 32, 33), **dict.fromkeys("gbmv", (64,))},
            ["Conv", "Add", "BatchNormalization"],
        ),
    ],
    ids=["expanded", "tiled", "a_tied_table", "positions"],
)
def test_no_operator_is_saved_by_a_constant_that_is_much_larger(text, constants, left):
    model = graph(text.replace("34,34", "34,35").replace("32,32", "32,33"), **constants)
    bytes_before = weight_bytes(model)
    for each in (FoldConstants(), FoldBatchNorm()):
        each(model)
    assert [node.op_type for node in model.graph if node.op_type != "Constant"] == left
    assert weight_bytes(model) <= bytes_before


def test_what_each_run_draws_anew_is_no_constant():
    text = "(float[N,4] x) => (float[N,4] y) { r = Bernoulli (v)  y = Add (x, r) }"
    model = graph(text, v=(1, 4))
    FoldConstants()(model)
    assert [node.op_type for node in model.graph] == ["Bernoulli", "Add"]


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
