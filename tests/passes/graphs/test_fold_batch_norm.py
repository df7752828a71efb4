"""FoldBatchNorm, stated as graphs: before, the operators that are left after, and the same numbers."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest
from graph_text import feeds, graph, ops, run

from bnexport.passes.graphs import Fate, FoldBatchNorm

BN = {"g": (6,), "b": (6,), "m": (6,), "v": (6,)}
BN4 = {"g4": (4,), "b4": (4,), "m4": (4,), "v4": (4,)}
IMAGE = "(float[N,4,8,8] x) => (float[N,C,H,K] y) "
CONV = {"W": (6, 4, 3, 3), "c": (6,)}
TOKENS = "(float[N,7,5] x) => (float[N,P,Q] y) "

# name: (graph, constants, operators after)
FOLDS = {
    "conv": (
        IMAGE + "{ a = Conv (x, W, c)  y = BatchNormalization (a, g, b, m, v) }",
        {**CONV, **BN},
        ["Conv"],
    ),
    "conv_without_bias": (
        IMAGE + "{ a = Conv (x, W)  y = BatchNormalization (a, g, b, m, v) }",
        {"W": (6, 4, 3, 3), **BN},
        ["Conv"],
    ),
    "conv_omitted_bias": (
        IMAGE + "{ a = Conv (x, W, )  y = BatchNormalization (a, g, b, m, v) }",
        {"W": (6, 4, 3, 3), **BN},
        ["Conv"],
    ),
    "conv_grouped": (
        IMAGE + "{ a = Conv <group=2> (x, W)  y = BatchNormalization (a, g, b, m, v) }",
        {"W": (6, 2, 3, 3), **BN},
        ["Conv"],
    ),
    "conv_depthwise": (
        IMAGE + "{ a = Conv <group=4> (x, W)  y = BatchNormalization (a, g4, b4, m4, v4) }",
        {"W": (4, 1, 3, 3), **BN4},
        ["Conv"],
    ),
    "conv1d": (
        "(float[N,4,9] x) => (float[N,C,K] y) "
        "{ a = Conv (x, W)  y = BatchNormalization (a, g, b, m, v) }",
        {"W": (6, 4, 3), **BN},
        ["Conv"],
    ),
    "conv3d": (
        "(float[N,4,5,5,5] x) => (float[N,C,D,H,K] y) "
        "{ a = Conv (x, W)  y = BatchNormalization (a, g, b, m, v) }",
        {"W": (6, 4, 3, 3, 3), **BN},
        ["Conv"],
    ),
    "epsilon": (
        IMAGE + "{ a = Conv (x, W)  y = BatchNormalization <epsilon=0.5> (a, g, b, m, v) }",
        {"W": (6, 4, 3, 3), **BN},
        ["Conv"],
    ),
    "conv_transpose_grouped": (
        IMAGE + "{ a = ConvTranspose <group=2, strides=[2,2], output_padding=[1,1]> (x, W)"
        "  y = BatchNormalization (a, g, b, m, v) }",
        {"W": (4, 3, 3, 3), **BN},
        ["ConvTranspose"],
    ),
    "gemm_trans_b": (
        "(float[N,5] x) => (float[N,6] y) "
        "{ a = Gemm <transB=1, alpha=0.5, beta=2.0> (x, W, c)"
        "  y = BatchNormalization (a, g, b, m, v) }",
        {"W": (6, 5), "c": (6,), **BN},
        ["Gemm"],
    ),
    "gemm_scalar_bias": (
        "(float[N,5] x) => (float[N,6] y) "
        "{ a = Gemm (x, W, c)  y = BatchNormalization (a, g, b, m, v) }",
        {"W": (5, 6), "c": (1,), **BN},
        ["Gemm"],
    ),
    "gemm_without_bias": (
        "(float[N,5] x) => (float[N,6] y) "
        "{ a = Gemm (x, W)  y = BatchNormalization (a, g, b, m, v) }",
        {"W": (5, 6), **BN},
        ["Gemm"],
    ),
    "matmul_then_bias": (
        "(float[N,5] x) => (float[N,6] y) "
        "{ a = MatMul (x, W)  d = Add (c, a)  y = BatchNormalization (d, g, b, m, v) }",
        {"W": (5, 6), "c": (6,), **BN},
        ["Gemm"],
    ),
    "matmul_left_constant": (
        "(float[N,5,7] x) => (float[N,P,Q] y) "
        "{ a = MatMul (W, x)  y = BatchNormalization (a, g, b, m, v) }",
        {"W": (6, 5), **BN},
        ["MatMul", "Add"],
    ),
    "linear_over_tokens_transposed": (
        TOKENS + "{ a = MatMul (x, W)  t = Transpose <perm=[0,2,1]> (a)"
        "  y = BatchNormalization (t, g, b, m, v) }",
        {"W": (5, 6), **BN},
        ["Reshape", "Gemm", "Reshape", "Transpose"],
    ),
    "two_in_a_row": (
        IMAGE + "{ a = Conv (x, W)  d = BatchNormalization (a, g, b, m, v)"
        "  y = BatchNormalization (d, b, g, m, v) }",
        {"W": (6, 4, 3, 3), **BN},
        ["Conv"],
    ),
    "shared_weight_other_reader_plain": (
        IMAGE + "{ a = Conv (x, W)  d = BatchNormalization (a, g, b, m, v)  e = Conv (x, W)"
        "  y = Add (d, e) }",
        {"W": (6, 4, 3, 3), **BN},
        ["Conv", "Conv", "Add"],
    ),
    "per_channel_mul_and_add": (
        IMAGE + "{ a = Conv (x, W)  d = Mul (a, s)  y = Add (t, d) }",
        {"W": (6, 4, 3, 3), "s": (1, 6, 1, 1), "t": (6, 1, 1)},
        ["Conv"],
    ),
    "handwritten": (
        IMAGE
        + "{ a = Conv (x, W)  d = Sub (a, m)  e = Div (d, v)  f = Mul (e, g)  y = Add (f, b) }",
        {"W": (6, 4, 3, 3), **dict.fromkeys("mvgb", (1, 6, 1, 1))},
        ["Conv"],
    ),
    "constant_minus_x": (
        IMAGE + "{ a = Conv (x, W)  y = Sub (s, a) }",
        {"W": (6, 4, 3, 3), "s": (6, 1, 1)},
        ["Conv"],
    ),
    "behind_a_position_bias": (
        IMAGE + "{ a = Conv (x, W)  d = Add (a, p)  y = BatchNormalization (d, g, b, m, v) }",
        {"W": (6, 4, 3, 3), "p": (1, 6, 6, 6), **BN},
        ["Conv", "Add"],
    ),
    "both_branches_of_an_add": (
        IMAGE + "{ a = Conv (x, W)  d = Conv (x, U)  e = Add (a, d)"
        "  y = BatchNormalization (e, g, b, m, v) }",
        {"W": (6, 4, 3, 3), "U": (6, 4, 3, 3), **BN},
        ["Conv", "Conv", "Add"],
    ),
    "concat_splits_it": (
        IMAGE + "{ a = Conv (x, W)  d = Conv (x, U)  e = Concat <axis=1> (a, d)"
        "  y = BatchNormalization (e, g, b, m, v) }",
        {"W": (2, 4, 3, 3), "U": (4, 4, 3, 3), **BN},
        ["Conv", "Conv", "Concat"],
    ),
    "global_average_pool": (
        IMAGE + "{ a = Conv (x, W)  d = GlobalAveragePool (a)"
        "  y = BatchNormalization (d, g, b, m, v) }",
        {"W": (6, 4, 3, 3), **BN},
        ["Conv", "GlobalAveragePool"],
    ),
    "gate_takes_the_scale": (
        IMAGE + "{ a = Conv (x, W)  s = Conv (x, U)  h = Sigmoid (s)  d = Mul (a, h)"
        "  y = BatchNormalization (d, g, b, m, v) }",
        {"W": (6, 4, 3, 3), "U": (6, 4, 3, 3), **BN},
        ["Conv", "Conv", "Sigmoid", "Mul", "Add"],
    ),
    "zero_pad_takes_the_scale": (
        IMAGE + "{ a = Conv (x, W)  p = Constant <value = int64[8] {0,0,1,1,0,0,1,1}> ()"
        "  d = Pad (a, p)  y = BatchNormalization (d, g, b, m, v) }",
        {"W": (6, 4, 3, 3), **BN},
        ["Conv", "Pad", "Add"],
    ),
    "embedding_table": (
        "(int64[N,7] x) => (float[N,P,Q] y) { a = Gather (W, x)"
        "  t = Transpose <perm=[0,2,1]> (a)  y = BatchNormalization (t, g, b, m, v) }",
        {"W": (5, 6), **BN},
        ["Gather", "Transpose"],
    ),
}

# name: (graph, constants): left exactly as they are
KEEPS = {
    "the_raw_output_is_read": (
        IMAGE + "{ a = Conv (x, W)  d = BatchNormalization (a, g, b, m, v)  y = Add (a, d) }",
        {"W": (6, 4, 3, 3), **BN},
    ),
    "the_raw_output_is_an_output": (
        "(float[N,4,8,8] x) => (float[N,6,6,6] a, float[N,6,6,6] y) "
        "{ a = Conv (x, W)  y = BatchNormalization (a, g, b, m, v) }",
        {"W": (6, 4, 3, 3), **BN},
    ),
    "nothing_before": (
        "(float[N,6,8,8] x) => (float[N,6,8,8] y) { y = BatchNormalization (x, g, b, m, v) }",
        BN,
    ),
    "tokens_are_as_many_as_features": (
        "(float[N,6,5] x) => (float[N,6,6] y) "
        "{ a = MatMul (x, W)  y = BatchNormalization (a, g, b, m, v) }",
        {"W": (5, 6), **BN},
    ),
    "a_vector_along_the_width": (
        IMAGE + "{ a = Conv (x, W)  y = Mul (a, s) }",
        {"W": (6, 4, 3, 3), "s": (6,)},
    ),
    "a_factor_that_broadcasts": (
        "(float[N,1,8,8] x) => (float[N,3,6,6] y) { a = Conv (x, W)  y = Mul (a, s) }",
        {"W": (1, 1, 3, 3), "s": (1, 3, 1, 1)},
    ),
    "counted_padding": (
        IMAGE + "{ a = Conv (x, W)  d = AveragePool <kernel_shape=[3,3], pads=[1,1,1,1],"
        " count_include_pad=1> (a)  y = Add (d, s) }",
        {"W": (6, 4, 3, 3), "s": (6, 1, 1)},
    ),
    "a_negative_scale_behind_max_pool": (
        IMAGE + "{ a = Conv (x, W)  d = MaxPool <kernel_shape=[2,2]> (a)  y = Mul (d, s) }",
        {"W": (6, 4, 3, 3), "s": (6, 1, 1)},
    ),
    "a_shift_behind_relu": (
        IMAGE + "{ a = Conv (x, W)  d = Relu (a)  y = Add (d, s) }",
        {"W": (6, 4, 3, 3), "s": (6, 1, 1)},
    ),
    "a_gemm_read_twice": (
        "(float[N,5] x) => (float[N,6] y) "
        "{ a = Gemm (x, W)  d = Mul (a, s)  e = Sigmoid (a)  y = Add (d, e) }",
        {"W": (5, 6), "s": (6,)},
    ),
}


@pytest.mark.parametrize(("text", "constants", "after"), FOLDS.values(), ids=FOLDS)
@pytest.mark.parametrize("batch", [1, 5])
def test_folds(text, constants, after, batch):
    before, model = graph(text, **constants), graph(text, **constants)
    assert FoldBatchNorm()(model).modified
    assert ops(model) == after
    assert [value.name for value in model.graph.outputs] == ["y"]
    x = feeds(before, batch)
    # float32: two roundings of sums of at most 100 products
    np.testing.assert_allclose(run(model, x)[0], run(before, x)[0], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("text", "constants", "after"), FOLDS.values(), ids=FOLDS)
def test_folds_once(text, constants, after):
    model = graph(text, **constants)
    FoldBatchNorm()(model)
    assert not FoldBatchNorm()(model).modified


@pytest.mark.parametrize(("text", "constants"), KEEPS.values(), ids=KEEPS)
def test_keeps(text, constants):
    model = graph(text, **constants)
    before = ir.to_proto(model).SerializeToString(deterministic=True)
    assert not FoldBatchNorm()(model).modified
    assert ir.to_proto(model).SerializeToString(deterministic=True) == before


def test_training_mode_is_refused():
    text = IMAGE + (
        "{ a = Conv (x, W)  y, p, q = BatchNormalization <training_mode=1> (a, g, b, m, v) }"
    )
    with pytest.raises(ir.passes.PreconditionError, match="training mode"):
        FoldBatchNorm()(graph(text, W=(6, 4, 3, 3), **BN))


def test_half_precision_is_rounded_once():
    text = IMAGE + "{ a = Conv (x, W)  y = BatchNormalization (a, g, b, m, v) }"
    model = graph(text, "float16", W=(6, 4, 3, 3), **BN)
    old = {k: v.const_value.numpy().astype(np.float64) for k, v in model.graph.initializers.items()}
    FoldBatchNorm()(model)
    folded = model.graph.node(0).inputs[1].const_value.numpy()
    scale = old["g"] / np.sqrt(old["v"] + np.float32(1e-5))
    assert folded.dtype == np.float16
    np.testing.assert_array_equal(
        folded, (old["W"] * scale[:, None, None, None]).astype(np.float16)
    )


def test_a_fold_that_overflows_half_precision_is_not_made():
    text = IMAGE + "{ a = Conv (x, W)  y = BatchNormalization (a, g, b, m, v) }"
    model = graph(text, "float16", W=(6, 4, 3, 3), **BN)
    model.graph.initializers["v"].const_value = ir.tensor(np.full(6, 1e-7, np.float16), name="v")
    model.graph.initializers["g"].const_value = ir.tensor(np.full(6, 60000, np.float16), name="g")
    fates: list[Fate] = []
    FoldBatchNorm(fates.append)(model)
    assert [fate.fate for fate in fates] == ["kept"]
    assert "overflow float16" in fates[0].reason


def test_a_new_constant_takes_no_name_in_use():
    text = IMAGE + (
        "{ a = Conv (x, W)  d = BatchNormalization (a, g, b, m, v)  e = Relu (d)  y = Mul (e, z) }"
    )
    model = graph(text, W=(6, 4, 3, 3), z=(6, 6, 6), **BN)
    before = graph(text, W=(6, 4, 3, 3), z=(6, 6, 6), **BN)
    for each in (model, before):
        each.graph.initializers["z"].name = "a.bias"  # what the folded bias would be called
    FoldBatchNorm()(model)
    x = feeds(before, 2)
    np.testing.assert_allclose(run(model, x)[0], run(before, x)[0], rtol=1e-4, atol=1e-4)


def test_the_fate_names_what_absorbed_it():
    text = IMAGE + "{ a = Conv (x, W)  y = BatchNormalization (a, g, b, m, v) }"
    model = graph(text, W=(6, 4, 3, 3), **BN)
    model.graph.node(0).metadata_props["bnexport.module"] = "stem.conv"
    model.graph.node(1).metadata_props["bnexport.module"] = "stem.bn"
    fates: list[Fate] = []
    FoldBatchNorm(fates.append)(model)
    assert [(f.module, f.fate, f.into) for f in fates] == [("stem.bn", "absorbed", "stem.conv")]


def test_two_batch_norms_without_a_linear_operator_merge():
    text = (
        "(float[N,6,8,8] x) => (float[N,6,8,8] y) "
        "{ a = BatchNormalization (x, g, b, m, v)  y = BatchNormalization (a, b, g, m, v) }"
    )
    before, model = graph(text, **BN), graph(text, **BN)
    fates: list[Fate] = []
    FoldBatchNorm(fates.append)(model)
    assert ops(model) == ["BatchNormalization"]
    assert {fate.fate for fate in fates} == {"merged", "kept"}
    x = feeds(before, 3)
    np.testing.assert_allclose(run(model, x)[0], run(before, x)[0], rtol=1e-4, atol=1e-4)
