"""Forward: an affine goes into the linear operators that read it, or stays; the numbers are the same."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest
from graph_text import feeds, graph, ops, run

from bnexport.passes.graphs import Fate, FoldBatchNorm
from bnexport.passes.graphs.affine import ChannelAffine
from bnexport.passes.graphs.plan import Plan
from bnexport.passes.graphs.pull import pull

BN = {"g": (4,), "b": (4,), "m": (4,), "v": (4,)}
IMAGE = "(float[N,4,8,8] x) => (float[N,C,H,K] y) "
NORM = "d = BatchNormalization (x, g, b, m, v)  "

# name: (graph, constants, operators after)
FOLDS = {
    "conv": (IMAGE + "{" + NORM + "y = Conv (d, W, c) }", {"W": (6, 4, 3, 3), "c": (6,)}, ["Conv"]),
    "conv_without_bias": (
        IMAGE + "{" + NORM + "y = Conv (d, W) }",
        {"W": (6, 4, 3, 3)},
        ["Conv"],
    ),
    "conv_grouped": (
        IMAGE + "{" + NORM + "y = Conv <group=2> (d, W, c) }",
        {"W": (6, 2, 3, 3), "c": (6,)},
        ["Conv"],
    ),
    "conv_strided_dilated": (
        IMAGE + "{" + NORM + "y = Conv <strides=[2,2], dilations=[2,2]> (d, W) }",
        {"W": (6, 4, 3, 3)},
        ["Conv"],
    ),
    "conv_padded_keeps_an_add": (
        IMAGE + "{" + NORM + "y = Conv <pads=[1,1,1,1]> (d, W, c) }",
        {"W": (6, 4, 3, 3), "c": (6,)},
        ["Add", "Conv"],
    ),
    "conv_same_padding_keeps_an_add": (
        IMAGE + "{" + NORM + 'y = Conv <auto_pad="SAME_UPPER"> (d, W) }',
        {"W": (6, 4, 3, 3)},
        ["Add", "Conv"],
    ),
    "reflected_border": (
        IMAGE + "{" + NORM + "p = Constant <value = int64[8] {0,0,1,1,0,0,1,1}> ()"
        '  e = Pad <mode="reflect"> (d, p)  y = Conv (e, W) }',
        {"W": (6, 4, 3, 3)},
        ["Pad", "Conv"],
    ),
    "two_readers": (
        IMAGE + "{" + NORM + "e = Conv (d, W)  f = Conv (d, U)  y = Add (e, f) }",
        {"W": (6, 4, 3, 3), "U": (6, 4, 3, 3)},
        ["Conv", "Conv", "Add"],
    ),
    "max_pool_takes_positive_scales_on": (
        IMAGE + "{ d = Mul (x, v)  e = MaxPool <kernel_shape=[2,2]> (d)  y = Conv (e, W) }",
        {"W": (6, 4, 3, 3), "v": (4, 1, 1)},
        ["MaxPool", "Conv"],
    ),
    "gemm": (
        "(float[N,4] x) => (float[N,6] y) {" + NORM + "y = Gemm <alpha=0.5, beta=2.0> (d, W, c) }",
        {"W": (4, 6), "c": (6,)},
        ["Gemm"],
    ),
    "gemm_trans_b": (
        "(float[N,4] x) => (float[N,6] y) {" + NORM + "y = Gemm <transB=1> (d, W) }",
        {"W": (6, 4)},
        ["Gemm"],
    ),
    "gemm_behind_flatten": (
        "(float[N,4,2,3] x) => (float[N,5] y) {" + NORM + "e = Flatten (d)  y = Gemm (e, W) }",
        {"W": (24, 5)},
        ["Flatten", "Gemm"],
    ),
    "matmul_behind_transpose": (
        "(float[N,4,7] x) => (float[N,P,Q] y) {" + NORM + "e = Transpose <perm=[0,2,1]> (d)"
        "  y = MatMul (e, W) }",
        {"W": (4, 6)},
        ["Transpose", "Reshape", "Gemm", "Reshape"],
    ),
    "matmul_left_constant": (
        "(float[N,4,7] x) => (float[N,P,Q] y) {" + NORM + "y = MatMul (W, d) }",
        {"W": (6, 4)},
        ["MatMul", "Add"],
    ),
    "relu_between": (
        IMAGE + "{ e = Relu (x) d = BatchNormalization (e, g, b, m, v)  y = Conv (d, W) }",
        {"W": (6, 4, 3, 3)},
        ["Relu", "Conv"],
    ),
    "pixels_normalised_by_hand": (
        IMAGE + "{ d = Sub (x, m1)  e = Div (d, v1)  y = Conv (e, W) }",
        {"W": (6, 4, 3, 3), "m1": (4, 1, 1), "v1": (4, 1, 1)},
        ["Conv"],
    ),
    "sign_stays_behind_max_pool": (
        IMAGE + "{ a = Conv (x, W)  e = MaxPool <kernel_shape=[2,2]> (a)"
        "  y = BatchNormalization (e, g, b, m, v) }",
        {"W": (4, 4, 3, 3)},
        ["Conv", "MaxPool", "Mul"],
    ),
    "pixel_shuffle": (
        IMAGE + '{ a = Conv (x, W)  e = DepthToSpace <blocksize=2, mode="CRD"> (a)'
        "  y = BatchNormalization (e, g, b, m, v) }",
        {"W": (16, 4, 3, 3)},
        ["Conv", "DepthToSpace"],
    ),
    "depth_column_row": (
        IMAGE + "{ a = Conv (x, W)  e = DepthToSpace <blocksize=2> (a)"
        "  y = BatchNormalization (e, g, b, m, v) }",
        {"W": (16, 4, 3, 3)},
        ["Conv", "DepthToSpace"],
    ),
    "upsample_linear": (
        IMAGE + "{ a = Conv (x, W)  s = Constant <value = float[4] {1.0, 1.0, 2.0, 2.0}> ()"
        '  e = Resize <mode="linear"> (a, , s)  y = BatchNormalization (e, g, b, m, v) }',
        {"W": (4, 4, 3, 3)},
        ["Conv", "Resize"],
    ),
}

KEEPS = {
    "an_output_of_the_model": (
        "(float[N,4,8,8] x) => (float[N,4,8,8] d, float[N,6,6,6] y) {" + NORM + "y = Conv (d, W) }",
        {"W": (6, 4, 3, 3)},
    ),
    "one_reader_is_not_linear": (
        IMAGE + "{" + NORM + "e = Conv (d, W)  f = Sigmoid (d)  h = Conv (f, W)  y = Add (e, h) }",
        {"W": (6, 4, 3, 3)},
    ),
    "a_batch_norm_that_runs_as_one_with_its_relu": (
        IMAGE + "{ h = Sigmoid (x)  d = BatchNormalization (h, v, b, m, v)  e = Relu (d)"
        "  y = Conv (e, W) }",
        {"W": (6, 4, 3, 3)},
    ),
    "it_scales_the_weight": (
        "(float[N,4,8,8] x, float[6,4,3,3] w) => (float[N,6,6,6] y) "
        "{ d = Mul (w, s)  y = Conv (x, d) }",
        {"s": (4, 1, 1)},
    ),
    "columns_of_a_transposed_gemm": (
        "(float[4,5] x) => (float[5,6] y) { d = Mul (x, s)  y = Gemm <transA=1> (d, W) }",
        {"s": (4, 1), "W": (4, 6)},
    ),
    "tokens_are_as_many_as_features": (
        "(float[N,4,4] x) => (float[N,4,6] y) {" + NORM + "y = MatMul (d, W) }",
        {"W": (4, 6)},
    ),
    "a_bias_does_not_wander_to_another_matmul": (
        "(float[N,4] x) => (float[N,6] y) { d = Add (x, s)  y = MatMul (d, W) }",
        {"s": (4,), "W": (4, 6)},
    ),
}


@pytest.mark.parametrize(("text", "constants", "after"), FOLDS.values(), ids=FOLDS)
@pytest.mark.parametrize("batch", [1, 3])
def test_folds_forward(text, constants, after, batch):
    constants = {**(BN if "BatchNormalization" in text else {}), **constants}
    before, model = graph(text, **constants), graph(text, **constants)
    assert FoldBatchNorm()(model).modified
    assert ops(model) == after
    x = feeds(before, batch)
    np.testing.assert_allclose(run(model, x)[0], run(before, x)[0], rtol=1e-4, atol=1e-4)
    assert not FoldBatchNorm()(model).modified


@pytest.mark.parametrize(("text", "constants"), KEEPS.values(), ids=KEEPS)
def test_keeps(text, constants):
    constants = {**(BN if "BatchNormalization" in text else {}), **constants}
    model = graph(text, **constants)
    before = ir.to_proto(model).SerializeToString(deterministic=True)
    assert not FoldBatchNorm()(model).modified
    assert ir.to_proto(model).SerializeToString(deterministic=True) == before


def test_a_large_mean_is_subtracted_before_it_can_cancel():
    text = "(float[N,4] x) => (float[N,6] y) {" + NORM + "y = Gemm (d, W) }"
    before, model = graph(text, W=(4, 6), **BN), graph(text, W=(4, 6), **BN)
    for each in (before, model):
        far = np.full(4, 3.0e4, np.float32)
        each.graph.initializers["m"].const_value = ir.tensor(far, name="m")
    fates: list[Fate] = []
    FoldBatchNorm(fates.append)(model)
    assert ops(model) == ["Add", "Gemm"]
    assert "its mean is too far from 0" in fates[0].reason
    x = {name: array + 3.0e4 for name, array in feeds(before, 5).items()}
    np.testing.assert_allclose(run(model, x)[0], run(before, x)[0], rtol=1e-3, atol=1e-2)


@pytest.mark.parametrize(
    "text", ["{ n = Mul (x, k)  y = Conv (n, W) }", "{ n = Conv (x, W)  y = Mul (n, k) }"]
)
def test_a_conv_of_another_domain_is_not_known(text):
    model = graph("(float[N,4,6,6] x) => (float[N,4,6,6] y)" + text, W=(4, 4, 1, 1), k=(4, 1, 1))
    next(node for node in model.graph if node.op_type == "Conv").domain = "com.example"
    assert not FoldBatchNorm()(model).modified


@pytest.mark.parametrize("op", ["Add", "Mul", "Sub", "Div"])
def test_a_constant_behind_is_taken_along(op):
    text = f"(float[N,4,6,6] x) => (float[A,B,C,D] y) {{ n = Relu (x)  a = {op} (n, v)  y = Conv (a, W) }}"
    model = graph(text, W=(4, 4, 3, 3), v=(4, 1, 1))
    order = {node: index for index, node in enumerate(model.graph)}
    affine = ChannelAffine(1, np.full(4, 2.0), np.ones(4))
    plan = pull(model.graph.node(0).outputs[0], affine, order)
    assert isinstance(plan, Plan)
    assert [node.op_type for node in plan.composed] == [op]


def test_a_weight_behind_that_would_overflow_half_precision_stays():
    text = "(float16[N,4,6,6] x) => (float16[A,B,C,D] y) { n = Mul (x, k)  y = Conv (n, W) }"
    model = graph(text.replace("float16[", "float["), "float16", W=(4, 4, 3, 3), k=(4, 1, 1))
    for name, shape in (("W", (4, 4, 3, 3)), ("k", (4, 1, 1))):
        model.graph.initializers[name].const_value = ir.tensor(np.full(shape, 300, np.float16))
    assert not FoldBatchNorm()(model).modified
