"""Graphs as ONNX text, before and after the folding; ``_`` stands for any constant.

Free names in the first text are constants, drawn at random in the shapes that are given (``v*`` positive). An
adversarial case, where a fold that looks right would be wrong, says so in its name.
"""

from __future__ import annotations

Case = tuple[str, str, str, dict[str, tuple[int, ...]]]

IMAGE = "(float[N,4,8,8] x) => (float[N,C,H,K] y)"
SQUARE = "(float[N,8,8,8] x) => (float[N,C,H,K] y)"
ROWS = "(float[N,6] x) => (float[N,K] y)"
TOKENS = "(float[N,7,6] x) => (float[N,L,K] y)"
GREY = "(float[N,1,8,8] x) => (float[N,C,H,K] y)"
TWO = "(float[N,4,8,8] x) => (float[N,C,H,K] y, float[N,D,I,J] z)"

BN4 = dict.fromkeys(("g", "b", "m", "v"), (4,))
BN8 = dict.fromkeys(("g", "b", "m", "v"), (8,))
BN16 = dict.fromkeys(("g", "b", "m", "v"), (16,))
W4 = {"W": (4, 4, 3, 3)}
W8 = {"W": (8, 4, 3, 3)}
TWO_IMAGES = "(float[N,4,8,8] x, float[N,4,8,8] u) => (float[N,C,H,K] y)"
EMBEDDED = "(float[N,4,8,8] x, float[N,6] u) => (float[N,C,H,K] y)"
EMBEDDING = (
    "p = Conv (x, W)  e = Gemm (u, E)  i = Constant <value = int64[2] {2,3}> ()"
    "  f = Unsqueeze (e, i)"
)
NORM = "y = BatchNormalization (a, g, b, m, v)"
STAYS = "y = BatchNormalization (a, _, _, _, _)"

AXES: dict[str, Case] = {
    "a_table_of_which_columns_are_picked": (
        "(int64[6] i) => (float[K,L] y)",
        "{ a = Gather <axis=1> (T, i)  y = Mul (a, k) }",
        "{ a = Gather <axis=1> (_, i)  y = Mul (a, _) }",
        {"T": (5, 6), "k": (6,)},
    ),
    "a_layer_norm_over_two_axes": (
        "(float[N,6,6] x) => (float[N,L,K] y)",
        "{ a = LayerNormalization <axis=1> (x, g, b)  y = Mul (a, k) }",
        "{ a = LayerNormalization <axis=1> (x, _, _)  y = Mul (a, _) }",
        {"g": (6, 6), "b": (6, 6), "k": (6,)},
    ),
    "a_vector_along_width_is_no_channel_scale": (
        SQUARE,
        "{ a = Conv (x, W)  y = Mul (a, k) }",
        "{ a = Conv (x, _)  y = Mul (a, _) }",
        {"W": (6, 8, 3, 3), "k": (6,)},
    ),
    "a_column_along_height_is_no_channel_scale": (
        SQUARE,
        "{ a = Conv (x, W)  y = Mul (a, k) }",
        "{ a = Conv (x, _)  y = Mul (a, _) }",
        {"W": (6, 8, 3, 3), "k": (6, 1)},
    ),
    "tokens_as_many_as_channels": (
        "(float[N,6,6] x) => (float[N,L,K] y)",
        "{ a = MatMul (x, W)  y = BatchNormalization (a, g, b, m, v) }",
        "{ a = MatMul (x, _)  y = BatchNormalization (a, _, _, _, _) }",
        {"W": (6, 6), **dict.fromkeys(("g", "b", "m", "v"), (6,))},
    ),
    "tokens_and_channels_swapped_first": (
        "(float[N,6,6] x) => (float[N,L,K] y)",
        "{ t = MatMul (x, W)  a = Transpose <perm=[0,2,1]> (t)  " + NORM + " }",
        "{ r = Reshape (x, _)  g = Gemm (r, _, _)  s = Reshape (g, _)  y = Transpose <perm=[0,2,1]> (s) }",
        {"W": (6, 6), **dict.fromkeys(("g", "b", "m", "v"), (6,))},
    ),
    "a_constant_that_makes_channels": (
        GREY,
        "{ a = Conv (x, W)  y = Mul (a, k) }",
        "{ a = Conv (x, _)  y = Mul (a, _) }",
        {"W": (1, 1, 3, 3), "k": (5, 1, 1)},
    ),
    "a_constant_of_higher_rank": (
        "(float[6] x) => (float[K,L] y)",
        "{ a = MatMul (x, W)  y = Add (a, k) }",
        "{ a = MatMul (x, _)  y = Add (a, _) }",
        {"W": (6, 4), "k": (3, 4)},
    ),
    "a_scale_of_one_element_has_no_axis": (
        IMAGE,
        "{ a = Conv (x, W)  y = Mul (a, k) }",
        "{ y = Conv (x, _) }",
        {**W4, "k": (1, 1, 1, 1)},
    ),
    "a_full_constant_is_no_affine": (
        IMAGE,
        "{ a = Conv (x, W)  y = Mul (a, k) }",
        "{ a = Conv (x, _)  y = Mul (a, _) }",
        {**W4, "k": (1, 4, 6, 6)},
    ),
    "a_position_behind_a_batch_norm": (
        IMAGE,
        "{ p = Conv (x, W)  a = Add (p, k)  " + NORM + " }",
        "{ p = Conv (x, _)  y = Add (p, _) }",
        {**W4, **BN4, "k": (1, 4, 6, 6)},
    ),
    "a_row_vector_of_a_gemm": (
        ROWS,
        "{ a = Gemm (x, W)  y = Mul (a, k) }",
        "{ y = Gemm (x, _) }",
        {"W": (6, 4), "k": (4,)},
    ),
    "a_left_matrix_scales_rows": (
        "(float[N,6,5] x) => (float[N,L,K] y)",
        "{ a = MatMul (W, x)  " + NORM + " }",
        "{ a = MatMul (_, x)  y = Add (a, _) }",
        {"W": (4, 6), **BN4},
    ),
    "an_einsum_label": (
        TOKENS,
        '{ t = Einsum <equation="bld,de->bel"> (x, W)  a = Relu (t)  y = Mul (a, v) }',
        "{ t = Einsum (x, _)  y = Relu (t) }",
        {"W": (6, 4), "v": (4, 1)},
    ),
    "an_einsum_label_that_the_constant_lacks": (
        "(float[N,4,6] x) => (float[N,L,K] y)",
        '{ a = Einsum <equation="bld,de->ble"> (x, W)  ' + NORM + " }",
        "{ a = Einsum (x, _)  y = BatchNormalization (a, _, _, _, _) }",
        {"W": (6, 4), **BN4},
    ),
}

WINDOWS: dict[str, Case] = {
    "counted_padding_takes_no_shift": (
        IMAGE,
        "{ p = Conv (x, W)  a = AveragePool <kernel_shape=[3,3], pads=[1,1,1,1],"
        " count_include_pad=1> (p)  " + NORM + " }",
        "{ p = Conv (x, _)  a = AveragePool (p)  y = Add (a, _) }",
        {**W4, **BN4},
    ),
    "uncounted_padding_takes_all": (
        IMAGE,
        "{ p = Conv (x, W)  a = AveragePool <kernel_shape=[3,3], pads=[1,1,1,1]> (p)  "
        + NORM
        + " }",
        "{ p = Conv (x, _, _)  y = AveragePool (p) }",
        {**W4, **BN4},
    ),
    "a_negative_scale_does_not_pass_a_maximum": (
        IMAGE,
        "{ p = Conv (x, W)  a = MaxPool <kernel_shape=[2,2]> (p)  " + NORM + " }",
        "{ p = Conv (x, _, _)  a = MaxPool (p)  y = Mul (a, _) }",
        {**W4, **BN4},
    ),
    "a_scale_of_zero_among_negative_ones_keeps_its_shift": (
        IMAGE,
        "{ p = Conv (x, W)  a = MaxPool <kernel_shape=[2,2]> (p)"
        "  k = Constant <value = float[4] {0.0,-2.0,0.5,-0.0}> ()"
        "  y = BatchNormalization (a, k, b, m, v) }",
        "{ p = Conv (x, _, _)  a = MaxPool (p)  y = Mul (a, _) }",
        {**W4, **BN4},
    ),
    "a_maximum_over_everything": (
        IMAGE,
        "{ p = Conv (x, W)  a = GlobalMaxPool (p)  y = Mul (a, v) }",
        "{ p = Conv (x, _)  y = GlobalMaxPool (p) }",
        {**W4, "v": (4, 1, 1)},
    ),
    "zeros_that_are_padded_in": (
        IMAGE,
        "{ p = Conv (x, W)  w = Constant <value = int64[8] {0,0,1,1,0,0,1,1}> ()  a = Pad (p, w)  "
        + NORM
        + " }",
        "{ p = Conv (x, _)  a = Pad (p, _)  y = Add (a, _) }",
        {**W4, **BN4},
    ),
    "ones_that_are_padded_in": (
        IMAGE,
        "{ p = Conv (x, W)  w = Constant <value = int64[8] {0,0,1,1,0,0,1,1}> ()"
        "  o = Constant <value = float {1.0}> ()  a = Pad (p, w, o)  " + NORM + " }",
        "{ p = Conv (x, _)  a = Pad (p, _, _)  " + STAYS + " }",
        {**W4, **BN4},
    ),
    "channels_that_are_padded_in": (
        IMAGE,
        "{ p = Conv (x, W)  w = Constant <value = int64[8] {0,2,0,0,0,2,0,0}> ()  a = Pad (p, w)  "
        + NORM
        + " }",
        "{ p = Conv (x, _)  a = Pad (p, _)  " + STAYS + " }",
        {**W4, **BN8},
    ),
    "a_reflected_border": (
        IMAGE,
        "{ p = Conv (x, W)  w = Constant <value = int64[8] {0,0,1,1,0,0,1,1}> ()"
        '  a = Pad <mode="reflect"> (p, w)  ' + NORM + " }",
        "{ p = Conv (x, _, _)  y = Pad (p, _) }",
        {**W4, **BN4},
    ),
    "a_sum_spreads_the_shift": (
        IMAGE,
        "{ p = Conv (x, W)  w = Constant <value = int64[2] {2,3}> ()  a = ReduceSum (p, w)  "
        + NORM
        + " }",
        "{ p = Conv (x, _, _)  y = ReduceSum (p, _) }",
        {**W4, **BN4},
    ),
    "a_sum_over_a_free_axis_takes_the_scale": (
        "(float[N,4,8,L] x) => (float[N,C,H,K] y)",
        "{ p = Conv (x, W)  w = Constant <value = int64[2] {2,3}> ()  a = ReduceSum (p, w)  "
        + NORM
        + " }",
        "{ p = Conv (x, _)  a = ReduceSum (p, _)  y = Add (a, _) }",
        {"W": (4, 4, 1, 1), **BN4},
    ),
    "a_mean_over_the_channels": (
        IMAGE,
        "{ p = Conv (x, W)  w = Constant <value = int64[1] {1}> ()  a = ReduceMean (p, w)  "
        + "y = BatchNormalization (a, g, b, m, v) }",
        "{ p = Conv (x, _)  a = ReduceMean (p, _)  y = BatchNormalization (a, _, _, _, _) }",
        {**W4, **dict.fromkeys(("g", "b", "m", "v"), (1,))},
    ),
    "cubic_weights_sum_to_1": (
        IMAGE,
        "{ p = Conv (x, W)  w = Constant <value = float[4] {1,1,2,2}> ()"
        '  a = Resize <mode="cubic"> (p, , w)  ' + NORM + " }",
        "{ p = Conv (x, _, _)  y = Resize (p, , _) }",
        {**W4, **BN4},
    ),
    "outside_the_picture_there_are_zeros": (
        "(float[N,4,8,8] x, float[N,5,5,2] at) => (float[N,C,H,K] y)",
        "{ p = Conv (x, W)  a = GridSample (p, at)  " + NORM + " }",
        "{ p = Conv (x, _)  a = GridSample (p, at)  y = Add (a, _) }",
        {**W4, **BN4},
    ),
    "a_negative_slope_is_no_matter": (
        IMAGE,
        "{ p = Conv (x, W)  a = LeakyRelu <alpha=-0.5> (p)  y = Mul (a, v) }",
        "{ p = Conv (x, _)  y = LeakyRelu (p) }",
        {**W4, "v": (4, 1, 1)},
    ),
    "a_negative_scale_does_not_pass_a_relu": (
        IMAGE,
        "{ p = Conv (x, W)  a = Relu (p)  y = Mul (a, k) }",
        "{ p = Conv (x, _)  a = Relu (p)  y = Mul (a, _) }",
        {**W4, "k": (4, 1, 1)},
    ),
    "a_clip_is_not_homogeneous": (
        IMAGE,
        "{ p = Conv (x, W)  o = Constant <value = float {0.0}> ()"
        "  i = Constant <value = float {6.0}> ()  a = Clip (p, o, i)  y = Mul (a, v) }",
        "{ p = Conv (x, _)  a = Clip (p, _, _)  y = Mul (a, _) }",
        {**W4, "v": (4, 1, 1)},
    ),
    "a_slice_along_another_axis": (
        "(float[N,4,7,6] x) => (float[N,H,L,K] y)",
        "{ a = MatMul (x, W)  o = Constant <value = int64[1] {1}> ()"
        "  e = Constant <value = int64[1] {3}> ()  p = Slice (a, o, e, o)  y = Mul (p, k) }",
        "{ a = MatMul (x, _)  y = Slice (a, _, _, _) }",
        {"W": (6, 5), "k": (5,)},
    ),
}

BRANCHES: dict[str, Case] = {
    "three_kernels_and_the_input": (
        IMAGE,
        "{ p = Conv <pads=[1,1,1,1]> (x, W)  n = BatchNormalization (p, g, b, m, v)  q = Conv (x, U)"
        "  s = Add (n, q)  i = BatchNormalization (x, g, b, m, v)  y = Add (s, i) }",
        "{ y = Conv <pads=[1,1,1,1]> (x, _, _) }",
        {**W4, "U": (4, 4, 1, 1), **BN4},
    ),
    "strides_differ": (
        IMAGE,
        "{ p = Conv <pads=[1,1,1,1], strides=[2,2]> (x, W)  q = MaxPool <kernel_shape=[1,1],"
        " strides=[2,2]> (x)  y = Add (p, q) }",
        "{ p = Conv <pads=[1,1,1,1], strides=[2,2]> (x, _)  q = MaxPool (x)  y = Add (p, q) }",
        W4,
    ),
    "two_strided_branches": (
        IMAGE,
        "{ p = Conv <pads=[1,1,1,1], strides=[2,2]> (x, W)  q = Conv <strides=[2,2]> (x, U)"
        "  y = Add (p, q) }",
        "{ y = Conv <pads=[1,1,1,1], strides=[2,2]> (x, _) }",
        {**W4, "U": (4, 4, 1, 1)},
    ),
    "strides_differ_where_sizes_agree": (
        IMAGE,
        "{ p = Conv <pads=[1,1,1,1], strides=[2,2]> (x, W)  q = Conv <pads=[1,1,1,1]> (x, U)  y = Add (p, q) }",
        "{ p = Conv <pads=[1,1,1,1], strides=[2,2]> (x, _)  q = Conv <pads=[1,1,1,1]> (x, _)  y = Add (p, q) }",
        {**W4, "U": (4, 4, 7, 7)},
    ),
    "pointwise_beside_pointwise": (
        IMAGE,
        "{ p = Conv (x, W)  q = Conv (x, U)  y = Add (p, q) }",
        "{ y = Conv (x, _) }",
        {"W": (6, 4, 1, 1), "U": (6, 4, 1, 1)},
    ),
    "a_branch_whose_weight_is_given": (
        "(float[N,4,8,8] x, float[4,4,3,3] w) => (float[N,C,H,K] y)",
        "{ p = Conv (x, W)  q = Conv (x, w)  y = Add (p, q) }",
        "{ p = Conv (x, _)  q = Conv (x, w)  y = Add (p, q) }",
        W4,
    ),
    "a_branch_whose_bias_is_given": (
        "(float[N,4,8,8] x, float[4] c) => (float[N,C,H,K] y)",
        "{ p = Conv (x, W)  q = Conv (x, U, c)  y = Add (p, q) }",
        "{ p = Conv (x, _)  q = Conv (x, _, c)  y = Add (p, q) }",
        {**W4, "U": (4, 4, 3, 3)},
    ),
    "the_smaller_kernel_off_centre": (
        IMAGE,
        "{ p = Conv <pads=[1,1,1,1]> (x, W)  q = Conv <pads=[0,0,1,1]> (x, U)  y = Add (p, q) }",
        "{ y = Conv <pads=[1,1,1,1]> (x, _) }",
        {**W4, "U": (4, 4, 2, 2)},
    ),
    "a_skip_that_would_broadcast": (
        "(float[N,1,8,8] x) => (float[N,C,H,K] y)",
        "{ p = Conv (x, W)  y = Add (p, x) }",
        "{ p = Conv (x, _)  y = Add (p, x) }",
        {"W": (4, 1, 1, 1)},
    ),
    "a_skip_over_depthwise_and_dense": (
        IMAGE,
        "{ p = Conv <pads=[1,1,1,1], group=4> (x, W)  q = Conv <pads=[1,1,1,1]> (x, U)"
        "  s = Add (p, q)  y = Add (x, s) }",
        "{ y = Conv <pads=[1,1,1,1]> (x, _) }",
        {"W": (4, 1, 3, 3), "U": (4, 4, 3, 3)},
    ),
    "depthwise_beside_pointwise_would_cost_more": (
        IMAGE,
        "{ p = Conv <pads=[1,1,1,1], group=4> (x, W)  q = Conv (x, U)  y = Add (p, q) }",
        "{ p = Conv <pads=[1,1,1,1], group=4> (x, _)  q = Conv (x, _)  y = Add (p, q) }",
        {"W": (4, 1, 3, 3), "U": (4, 4, 1, 1)},
    ),
    "a_row_and_a_column_would_cost_more": (
        IMAGE,
        "{ p = Conv <pads=[0,1,0,1]> (x, W)  q = Conv <pads=[1,0,1,0]> (x, U)  y = Add (p, q) }",
        "{ p = Conv <pads=[0,1,0,1]> (x, _)  q = Conv <pads=[1,0,1,0]> (x, _)  y = Add (p, q) }",
        {"W": (4, 4, 1, 3), "U": (4, 4, 3, 1)},
    ),
    "a_row_and_a_column_beside_a_square": (
        IMAGE,
        "{ p = Conv <pads=[0,1,0,1]> (x, W)  q = Conv <pads=[1,0,1,0]> (x, U)  s = Add (p, q)"
        "  r = Conv <pads=[1,1,1,1]> (x, V)  y = Add (s, r) }",
        "{ y = Conv <pads=[1,1,1,1]> (x, _) }",
        {"W": (4, 4, 1, 3), "U": (4, 4, 3, 1), "V": (4, 4, 3, 3)},
    ),
    "taps_on_another_grid": (
        IMAGE,
        "{ p = Conv <pads=[2,2,2,2], dilations=[2,2]> (x, W)  q = Conv <pads=[1,1,1,1]> (x, U)"
        "  y = Add (p, q) }",
        "{ p = Conv <pads=[2,2,2,2], dilations=[2,2]> (x, _)  q = Conv <pads=[1,1,1,1]> (x, _)"
        "  y = Add (p, q) }",
        {"W": (4, 4, 3, 3), "U": (4, 4, 3, 3)},
    ),
    "taps_on_a_coarser_grid": (
        IMAGE,
        "{ p = Conv <pads=[2,2,2,2], dilations=[2,2]> (x, W)  q = Conv (x, U)  y = Sub (q, p) }",
        "{ y = Conv <pads=[2,2,2,2], dilations=[2,2]> (x, _) }",
        {"W": (4, 4, 3, 3), "U": (4, 4, 1, 1)},
    ),
    "a_branch_that_is_read_elsewhere": (
        TWO,
        "{ p = Conv <pads=[1,1,1,1]> (x, W)  q = Conv (x, U)  y = Add (p, q)  z = Relu (q) }",
        "{ p = Conv <pads=[1,1,1,1]> (x, _)  q = Conv (x, _)  y = Add (p, q)  z = Relu (q) }",
        {**W4, "U": (4, 4, 1, 1)},
    ),
    "branches_of_two_inputs": (
        "(float[N,4,8,8] x, float[N,4,8,8] u) => (float[N,C,H,K] y)",
        "{ p = Conv (x, W)  q = Conv (u, W)  y = Add (p, q) }",
        "{ p = Conv (x, _)  q = Conv (u, _)  y = Add (p, q) }",
        W4,
    ),
    "an_affine_of_another_input": (
        "(float[N,4,8,8] x, float[N,4,8,8] u) => (float[N,C,H,K] y)",
        "{ p = Conv <pads=[1,1,1,1]> (x, W)  i = Mul (u, k)  y = Add (p, i) }",
        "{ p = Conv <pads=[1,1,1,1]> (x, _)  i = Mul (u, _)  y = Add (p, i) }",
        {**W4, "k": (4, 1, 1)},
    ),
    "a_norm_whose_scale_is_given": (
        "(float[N,4,8,8] x, float[4] g) => (float[N,C,H,K] y)",
        "{ p = Conv <pads=[1,1,1,1]> (x, W)  i = BatchNormalization (x, g, b, m, v)  y = Add (p, i) }",
        "{ p = Conv <pads=[1,1,1,1]> (x, _)  i = BatchNormalization (x, g, _, _, _)  y = Add (p, i) }",
        {**W4, "b": (4,), "m": (4,), "v": (4,)},
    ),
    "a_product_is_no_sum": (
        IMAGE,
        "{ p = Conv <pads=[1,1,1,1]> (x, W)  r = Sigmoid (x)  i = Mul (x, r)  y = Add (p, i) }",
        "{ p = Conv <pads=[1,1,1,1]> (x, _)  r = Sigmoid (x)  i = Mul (x, r)  y = Add (p, i) }",
        W4,
    ),
    "one_branch_twice": (
        IMAGE,
        "{ p = Conv (x, W)  y = Add (p, p) }",
        "{ p = Conv (x, _)  y = Add (p, p) }",
        W4,
    ),
    "a_norm_behind_a_sum_with_the_input": (
        IMAGE,
        "{ p = Conv <pads=[1,1,1,1], group=4> (x, W)  a = Add (p, x)  " + NORM + " }",
        "{ y = Conv <pads=[1,1,1,1], group=4> (x, _, _) }",
        {"W": (4, 1, 3, 3), **BN4},
    ),
    "a_scalar_of_the_input": (
        IMAGE,
        "{ p = Conv <pads=[1,1,1,1]> (x, W)  i = Mul (x, k)  y = Sub (i, p) }",
        "{ y = Conv <pads=[1,1,1,1]> (x, _) }",
        {**W4, "k": ()},
    ),
    "a_vector_along_width_of_the_input": (
        "(float[N,4,4,4] x) => (float[N,C,H,K] y)",
        "{ p = Conv <pads=[1,1,1,1]> (x, W)  i = Mul (x, k)  y = Add (i, p) }",
        "{ p = Conv <pads=[1,1,1,1]> (x, _)  i = Mul (x, _)  y = Add (i, p) }",
        {**W4, "k": (4,)},
    ),
}

ROWS_LEFT = "m = Mul (a, k)  y = Add (m, c) }"
BIASES: dict[str, Case] = {
    "an_einsum_with_turned_weights": (
        "(float[N,7,6] x) => (float[N,L,K] y)",
        '{ a = Einsum <equation="blk,mk->blm"> (x, W)  ' + ROWS_LEFT,
        "{ a = Einsum (x, _)  y = Add (a, _) }",
        {"W": (6, 6), "k": (6,), "c": (6,)},
    ),
    "a_product_with_a_stack_of_matrices": (
        "(float[N,4,7,6] x) => (float[N,H,L,K] y)",
        "{ a = MatMul (x, W)  " + ROWS_LEFT,
        "{ a = MatMul (x, _)  y = Add (a, _) }",
        {"W": (4, 6, 5), "k": (5,), "c": (5,)},
    ),
    "rows_of_two_unknown_sizes": (
        "(float[N,L,6] x) => (float[N,L,K] y)",
        "{ a = MatMul (x, W)  " + ROWS_LEFT,
        "{ a = MatMul (x, _)  y = Add (a, _) }",
        {"W": (6, 5), "k": (5,), "c": (5,)},
    ),
    "one_norm_is_not_worth_two_adds": (
        "(float[N,4,6] x) => (float[N,5,6] y, float[N,7,6] z)",
        "{ n = BatchNormalization (x, g, b, m, v)  y = MatMul (W, n)  z = MatMul (U, n) }",
        "{ n = Add (x, _)  y = MatMul (_, n)  z = MatMul (_, n) }",
        {"W": (5, 4), "U": (7, 4), **BN4},
    ),
    "one_norm_is_worth_one_add": (
        "(float[N,4,6] x) => (float[N,5,6] y)",
        "{ n = BatchNormalization (x, g, b, m, v)  y = MatMul (W, n) }",
        "{ p = MatMul (_, x)  y = Add (p, _) }",
        {"W": (5, 4), **BN4},
    ),
    "a_sign_and_an_add_are_not_worth_one_norm": (
        "(float[N,4,6] x) => (float[N,5,C] y)",
        "{ p = MatMul (W, x)  r = MaxPool <kernel_shape=[2]> (p)  y = BatchNormalization (r, g, b, m, v) }",
        "{ p = MatMul (_, x)  r = MaxPool (p)  y = BatchNormalization (r, _, _, _, _) }",
        {"W": (5, 4), **dict.fromkeys("gbmv", (5,))},
    ),
    "rows_shifted_by_a_number": (
        "(float[N,6] x) => (float[N,K] y)",
        "{ a = MatMul (x, W)  o = Constant <value = float {0.5}> ()  m = Mul (a, k)  y = Add (m, o) }",
        "{ y = Gemm (x, _, _) }",
        {"W": (6, 5), "k": (5,)},
    ),
    "a_single_row": (
        "(float[6] x) => (float[K] y)",
        "{ a = MatMul (x, W)  " + ROWS_LEFT,
        "{ a = MatMul (x, _)  y = Add (a, _) }",
        {"W": (6, 5), "k": (5,), "c": (5,)},
    ),
    "rows_of_known_sizes": (
        "(float[N,4,7,6] x) => (float[N,H,L,K] y)",
        "{ a = MatMul (x, W)  " + ROWS_LEFT,
        "{ r = Reshape (x, _)  g = Gemm (r, _, _)  y = Reshape (g, _) }",
        {"W": (6, 5), "k": (5,), "c": (5,)},
    ),
}

CHOICES: dict[str, Case] = {
    "the_larger_of_two_convolutions": (
        IMAGE,
        "{ p = Conv (x, W)  q = Conv (x, U)  a = Max (p, q)  s = Mul (a, v)  y = Add (s, b) }",
        "{ p = Conv (x, _, _)  q = Conv (x, _, _)  y = Max (p, q) }",
        {**W4, "U": (4, 4, 3, 3), "v": (4, 1, 1), "b": (4, 1, 1)},
    ),
    "a_negative_scale_does_not_pass_the_larger": (
        IMAGE,
        "{ p = Conv (x, W)  q = Conv (x, U)  a = Max (p, q)  y = Mul (a, k) }",
        "{ p = Conv (x, _)  q = Conv (x, _)  a = Max (p, q)  y = Mul (a, _) }",
        {**W4, "U": (4, 4, 3, 3), "k": (4, 1, 1)},
    ),
    "the_larger_of_it_and_a_number": (
        IMAGE,
        "{ p = Conv (x, W)  o = Constant <value = float {0.5}> ()  a = Max (p, o)  s = Mul (a, v)"
        "  y = Add (s, b) }",
        "{ p = Conv (x, _, _)  y = Max (p, _) }",
        {**W4, "v": (4, 1, 1), "b": (4, 1, 1)},
    ),
    "the_smaller_of_one_that_broadcasts_along_the_image": (
        "(float[N,4,8,8] x, float[N,4,1,1] u) => (float[N,C,H,K] y)",
        "{ p = Conv (x, W)  q = Conv (u, U)  a = Min (p, q)  y = Mul (a, v) }",
        "{ p = Conv (x, _)  q = Conv (u, _)  y = Min (p, q) }",
        {**W4, "U": (4, 4, 1, 1), "v": (4, 1, 1)},
    ),
    "the_smaller_of_one_that_broadcasts_along_the_channels": (
        "(float[N,4,8,8] x, float[N,1,6,6] u) => (float[N,C,H,K] y)",
        "{ p = Conv (x, W)  a = Min (p, u)  y = Mul (a, v) }",
        "{ p = Conv (x, _)  a = Min (p, u)  y = Mul (a, _) }",
        {**W4, "v": (4, 1, 1)},
    ),
    "one_or_the_other": (
        "(float[N,4,8,8] x, bool[N,1,6,6] c) => (float[N,C,H,K] y)",
        "{ p = Conv (x, W)  q = Conv (x, U)  a = Where (c, p, q)  " + NORM + " }",
        "{ p = Conv (x, _, _)  q = Conv (x, _, _)  y = Where (c, p, q) }",
        {**W4, "U": (4, 4, 3, 3), **BN4},
    ),
    "it_or_a_number": (
        "(float[N,4,8,8] x, bool[N,1,6,6] c) => (float[N,C,H,K] y)",
        "{ p = Conv (x, W)  o = Constant <value = float {0.0}> ()  a = Where (c, o, p)  "
        + NORM
        + " }",
        "{ p = Conv (x, _, _)  y = Where (c, _, p) }",
        {**W4, **BN4},
    ),
}

MEETINGS: dict[str, Case] = {
    "a_scale_and_its_own_slope": (
        IMAGE,
        "{ n = Mul (x, v)  p = PRelu (n, n)  y = Conv (p, W) }",
        "{ n = Mul (x, _)  p = PRelu (n, n)  y = Conv (p, _) }",
        {**W4, "v": (4, 1, 1)},
    ),
    "a_scale_that_is_the_slope": (
        IMAGE,
        "{ n = Mul (x, v)  p = PRelu (x, n)  y = Conv (p, W) }",
        "{ n = Mul (x, _)  p = PRelu (x, n)  y = Conv (p, _) }",
        {**W4, "v": (4, 1, 1)},
    ),
    "a_sum_of_two_ranks": (
        "(float[4,4] x, float[2,4,4,4] u) => (float[A,B,C,D] y)",
        "{ n = Add (x, k)  s = Add (n, u)  y = Conv (s, W) }",
        "{ n = Add (x, _)  s = Add (n, u)  y = Conv (s, _) }",
        {**W4, "k": (4,)},
    ),
    "a_product_of_two_ranks": (
        "(float[4,4] x, float[2,4,4,4] u) => (float[A,B,C,D] y)",
        "{ n = Mul (x, k)  s = Mul (n, u)  y = Conv (s, W) }",
        "{ n = Mul (x, _)  s = Mul (n, u)  y = Conv (s, _) }",
        {**W4, "k": (4,)},
    ),
    "a_sum_along_two_axes": (
        "(float[N,4,4,4] x) => (float[N,C,H,K] y)",
        "{ n = Add (x, k)  t = Transpose <perm=[0,2,1,3]> (n)  s = Add (n, t)  y = Conv (s, W) }",
        "{ n = Add (x, _)  t = Transpose <perm=[0,2,1,3]> (n)  s = Add (n, t)  y = Conv (s, _) }",
        {**W4, "k": (4, 1, 1)},
    ),
    "the_square_of_a_scaled_value": (
        IMAGE,
        "{ n = Mul (x, k)  s = Mul (n, n)  y = Conv (s, W) }",
        "{ n = Mul (x, _)  s = Mul (n, n)  y = Conv (s, _) }",
        {**W4, "k": (4, 1, 1)},
    ),
    "a_shifted_factor": (
        "(float[N,4,8,8] x, float[N,4,8,8] u) => (float[N,C,H,K] y)",
        "{ n = Add (x, k)  s = Mul (n, u)  y = Conv (s, W) }",
        "{ n = Add (x, _)  s = Mul (n, u)  y = Conv (s, _) }",
        {**W4, "k": (4, 1, 1)},
    ),
    "a_scaled_factor": (
        "(float[N,4,8,8] x, float[N,4,8,8] u) => (float[N,C,H,K] y)",
        "{ n = Mul (x, k)  s = Mul (u, n)  y = Conv (s, W) }",
        "{ s = Mul (u, x)  y = Conv (s, _) }",
        {**W4, "k": (4, 1, 1)},
    ),
    "a_scaled_divisor": (
        "(float[N,4,8,8] x, float[N,4,8,8] u) => (float[N,C,H,K] y)",
        "{ n = Mul (x, v)  s = Div (u, n)  y = Conv (s, W) }",
        "{ n = Mul (x, _)  s = Div (u, n)  y = Conv (s, _) }",
        {**W4, "v": (4, 1, 1)},
    ),
    "a_scaled_summand": (
        "(float[N,4,8,8] x, float[N,4,8,8] u) => (float[N,C,H,K] y)",
        "{ n = Mul (x, v)  s = Add (u, n)  y = Conv (s, W) }",
        "{ n = Mul (x, _)  s = Add (u, n)  y = Conv (s, _) }",
        {**W4, "v": (4, 1, 1)},
    ),
    "a_shifted_summand": (
        "(float[N,4,8,8] x, float[N,4,8,8] u) => (float[N,C,H,K] y)",
        "{ n = Add (x, v)  s = Sub (u, n)  y = Conv (s, W) }",
        "{ s = Sub (u, x)  y = Conv (s, _, _) }",
        {**W4, "v": (4, 1, 1)},
    ),
}

ENDS = (
    "z0 = Constant <value = int64[1] {0}> ()  z4 = Constant <value = int64[1] {4}> ()"
    "  z6 = Constant <value = int64[1] {6}> ()  z7 = Constant <value = int64[1] {7}> ()"
    "  one = Constant <value = int64[1] {1}> ()  three = Constant <value = int64[1] {3}> ()"
    "  back = Constant <value = int64[1] {-1}> ()  far = Constant <value = int64[1] {-100}> ()"
)
BROADCASTS: dict[str, Case] = {
    "the_embedding_of_a_time_step": (
        EMBEDDED,
        "{ " + EMBEDDING + "  a = Add (p, f)  " + NORM + " }",
        "{ p = Conv (x, _, _)  e = Gemm (u, _)  f = Unsqueeze (e, _)  y = Add (p, f) }",
        {**W4, "E": (6, 4), **BN4},
    ),
    "a_difference": (
        EMBEDDED,
        "{ " + EMBEDDING + "  a = Sub (f, p)  " + NORM + " }",
        "{ p = Conv (x, _)  e = Gemm (u, _, _)  f = Unsqueeze (e, _)  y = Sub (f, p) }",
        {**W4, "E": (6, 4), **BN4},
    ),
    "a_sum_that_makes_channels": (
        TWO_IMAGES,
        "{ p = Conv (x, W)  q = Conv (u, U)  a = Add (q, p)  " + NORM + " }",
        "{ p = Conv (x, _)  q = Conv (u, _)  a = Add (q, p)  " + STAYS + " }",
        {**W4, "U": (1, 4, 3, 3), **BN4},
    ),
    "a_sum_of_one_whose_channels_stand_elsewhere": (
        "(float[4,4,6] x, float[4,6] u) => (float[N,C,H] y)",
        "{ p = MatMul (x, W)  q = MatMul (u, U)  a = Add (q, p)  " + NORM + " }",
        "{ p = MatMul (x, _)  q = MatMul (u, _)  a = Add (q, p)  " + STAYS + " }",
        {"W": (6, 6), "U": (6, 6), **BN4},
    ),
    "a_mask": (
        IMAGE,
        "{ p = Conv (x, W)  a = Mul (p, k)  y = Mul (a, s) }",
        "{ p = Conv (x, _)  y = Mul (p, _) }",
        {**W4, "k": (6, 6), "s": (4, 1, 1)},
    ),
    "a_mask_that_is_divided": (
        IMAGE,
        "{ p = Conv (x, W)  a = Div (k, p)  y = Mul (a, s) }",
        "{ p = Conv (x, _)  a = Div (_, p)  y = Mul (a, _) }",
        {**W4, "k": (6, 6), "s": (4, 1, 1)},
    ),
    "a_shift_into_a_sum_that_broadcasts": (
        "(float[N,4,8,8] x, float[N,4,1,1] u) => (float[N,C,H,K] y)",
        "{ r = Sigmoid (u)  p = Add (r, k)  a = Add (x, p)  y = Conv (a, W) }",
        "{ r = Sigmoid (u)  a = Add (x, r)  y = Conv (a, _, _) }",
        {**W4, "k": (4, 1, 1)},
    ),
    "a_shift_of_a_channel_that_is_spread": (
        "(float[N,4,8,8] x, float[N,1,8,8] u) => (float[N,C,H,K] y)",
        "{ r = Sigmoid (u)  p = Add (r, k)  a = Add (x, p)  y = Conv (a, W) }",
        "{ r = Sigmoid (u)  p = Add (r, _)  a = Add (x, p)  y = Conv (a, _) }",
        {**W4, "k": (1, 1, 1, 8)},
    ),
    "a_scale_into_a_product_that_broadcasts": (
        "(float[N,4,8,8] x, float[N,4,1,1] u) => (float[N,C,H,K] y)",
        "{ r = Sigmoid (u)  p = Mul (r, k)  a = Mul (x, p)  y = Conv (a, W) }",
        "{ r = Sigmoid (u)  a = Mul (x, r)  y = Conv (a, _) }",
        {**W4, "k": (4, 1, 1)},
    ),
    "a_constant_that_would_overflow": (
        IMAGE,
        "{ p = Conv (x, W)  o = Constant <value = float {1e30}> ()  t = Constant <value = float {1e10}> ()"
        "  a = Min (p, o)  y = Mul (a, t) }",
        "{ p = Conv (x, _)  a = Min (p, _)  y = Mul (a, _) }",
        W4,
    ),
    "a_constant_that_is_repeated_for_every_sample": (
        IMAGE,
        "{ p = Conv <pads=[1,1,1,1]> (x, W)  h = Shape (p)  e = Expand (k, h)  a = Concat <axis=3> (p, e)"
        "  " + NORM + " }",
        "{ p = Conv <pads=[1,1,1,1]> (x, _, _)  h = Shape (p)  e = Expand (_, h)"
        "  y = Concat <axis=3> (p, e) }",
        {**W4, "k": (1, 4, 1, 1), **BN4},
    ),
    "a_number_that_is_repeated_for_every_element": (
        IMAGE,
        "{ p = InstanceNormalization (x, c, c)  h = Shape (p)  e = Expand (k, h)  a = Add (p, e)"
        "  y = Mul (a, s) }",
        "{ p = InstanceNormalization (x, _, _)  h = Shape (p)  e = Expand (_, h)  y = Add (p, e) }",
        {"c": (4,), "k": (), "s": ()},
    ),
    "a_gate_that_takes_the_scale": (
        "(float[N,4,8,8] x, float[N,4,1,1] u) => (float[N,C,H,K] y)",
        "{ p = MaxPool <kernel_shape=[3,3]> (x)  q = Conv (u, U)  a = Mul (p, q)  y = Mul (a, s) }",
        "{ p = MaxPool (x)  q = Conv (u, _)  y = Mul (p, q) }",
        {"U": (4, 4, 1, 1), "s": (4, 1, 1)},
    ),
    "a_gate_without_channels": (
        "(float[N,4,8,8] x, float[N,1,8,8] u) => (float[N,C,H,K] y)",
        "{ q = Conv (u, U)  a = Mul (x, q)  y = Mul (a, s) }",
        "{ q = Conv (u, _)  a = Mul (x, q)  y = Mul (a, _) }",
        {"U": (1, 1, 1, 1), "s": (4, 1, 1)},
    ),
}

FUSED: dict[str, Case] = {
    "the_half_of_a_gelu": (
        IMAGE,
        "{ r = Constant <value = float {1.4142135}> ()  o = Constant <value = float {1.0}> ()"
        "  h = Constant <value = float {0.5}> ()  d = Div (x, r)  e = Erf (d)  s = Add (e, o)"
        "  p = Mul (s, h)  q = Mul (x, p)  y = Conv (q, W) }",
        "{ d = Div (x, _)  e = Erf (d)  s = Add (e, _)  p = Mul (s, _)  q = Mul (x, p)  y = Conv (q, _) }",
        W4,
    ),
    "the_half_behind_a_gelu": (
        IMAGE,
        "{ r = Constant <value = float {1.4142135}> ()  o = Constant <value = float {1.0}> ()"
        "  h = Constant <value = float {0.5}> ()  d = Div (x, r)  e = Erf (d)  s = Add (e, o)"
        "  p = Mul (x, s)  q = Mul (p, h)  y = Conv (q, W) }",
        "{ d = Div (x, _)  e = Erf (d)  s = Add (e, _)  p = Mul (x, s)  q = Mul (p, _)  y = Conv (q, _) }",
        W4,
    ),
    "a_shift_behind_a_gelu": (
        IMAGE,
        "{ r = Constant <value = float {1.4142135}> ()  o = Constant <value = float {1.0}> ()"
        "  d = Div (x, r)  e = Erf (d)  s = Add (e, o)  p = Mul (x, s)  q = Add (p, k)  y = Conv (q, W) }",
        "{ d = Div (x, _)  e = Erf (d)  s = Add (e, _)  p = Mul (x, s)  y = Conv (p, _, _) }",
        {**W4, "k": (4, 1, 1)},
    ),
    "the_half_before_a_gelu": (
        IMAGE,
        "{ r = Constant <value = float {1.4142135}> ()  o = Constant <value = float {1.0}> ()"
        "  h = Constant <value = float {0.5}> ()  d = Div (x, r)  e = Tanh (d)  s = Add (e, o)"
        "  p = Mul (x, h)  q = Mul (p, s)  y = Conv (q, W) }",
        "{ d = Div (x, _)  e = Tanh (d)  s = Add (e, _)  p = Mul (x, _)  q = Mul (p, s)  y = Conv (q, _) }",
        W4,
    ),
    "the_gamma_and_beta_of_a_layer_norm": (
        "(float[N,7,6] x) => (float[N,L,K] y)",
        "{ i = Constant <value = int64[1] {-1}> ()  m = ReduceMean <keepdims=1> (x, i)  c = Sub (x, m)"
        "  q = Mul (c, c)  w = ReduceMean <keepdims=1> (q, i)  u = Add (w, v)"
        "  s = Sqrt (u)  d = Div (c, s)  g1 = Mul (d, g)  b1 = Add (g1, b)  y = MatMul (b1, W) }",
        "{ m = ReduceMean (x, _)  c = Sub (x, m)  q = Mul (c, c)  w = ReduceMean (q, _)  u = Add (w, _)"
        "  s = Sqrt (u)  d = Div (c, s)  g1 = Mul (d, _)  b1 = Add (g1, _)  y = MatMul (b1, _) }",
        {"W": (6, 5), "g": (6,), "b": (6,), "v": (1,)},
    ),
    "the_scale_of_what_a_given_number_divides": (
        "(float[N,4,8,8] x, float[N,4,8,8] u, float[N,1,8,8] w) => (float[N,C,H,K] y)",
        "{ c = Sub (x, u)  d = Div (c, w)  m = Mul (d, k)  y = Conv (m, W) }",
        "{ c = Sub (x, u)  d = Div (c, w)  y = Conv (d, _) }",
        {**W4, "k": (4, 1, 1)},
    ),
    "the_scale_of_what_a_root_multiplies": (
        "(float[N,4,8,8] x, float[N,4,8,8] u, float[N,1,8,8] w) => (float[N,C,H,K] y)",
        "{ c = Sub (x, u)  a = Abs (w)  s = Sqrt (a)  d = Mul (c, s)  m = Mul (d, k)  y = Conv (m, W) }",
        "{ c = Sub (x, u)  a = Abs (w)  s = Sqrt (a)  d = Mul (c, s)  y = Conv (d, _) }",
        {**W4, "k": (4, 1, 1)},
    ),
    "the_scale_of_what_has_length_one": (
        IMAGE,
        "{ i = Constant <value = int64[1] {1}> ()  q = Mul (x, x)  w = ReduceSum <keepdims=1> (q, i)"
        "  s = Sqrt (w)  d = Div (x, s)  m = Mul (d, k)  y = Conv (m, W) }",
        "{ q = Mul (x, x)  w = ReduceSum (q, _)  s = Sqrt (w)  d = Div (x, s)  y = Conv (d, _) }",
        {**W4, "k": (4, 1, 1)},
    ),
    "a_gate_by_tanh_is_no_gelu": (
        IMAGE,
        "{ e = Tanh (x)  p = Mul (x, e)  q = Mul (p, k)  y = Conv (q, W) }",
        "{ e = Tanh (x)  p = Mul (x, e)  y = Conv (p, _) }",
        {**W4, "k": (4, 1, 1)},
    ),
    "a_divisor_behind_a_gamma": (
        "(float[N,7,6] x, float[N,7,6] u, float[N,7,1] w) => (float[N,L,K] y)",
        "{ c = Sub (x, u)  a = Abs (w)  s = Sqrt (a)  d = Div (c, s)  p = Mul (d, g)  q = Div (p, v)"
        "  y = MatMul (q, W) }",
        "{ c = Sub (x, u)  a = Abs (w)  s = Sqrt (a)  d = Div (c, s)  p = Mul (d, _)  y = MatMul (p, _) }",
        {"W": (6, 5), "g": (6,), "v": (6,)},
    ),
    "a_norm_behind_a_gelu_goes_on": (
        IMAGE,
        "{ r = Constant <value = float {1.4142135}> ()  o = Constant <value = float {1.0}> ()"
        "  h = Constant <value = float {0.5}> ()  d = Div (x, r)  e = Erf (d)  s = Add (e, o)"
        "  p = Mul (s, h)  a = Mul (x, p)  n = BatchNormalization (a, g, b, m, v)  y = Conv (n, W) }",
        "{ d = Div (x, _)  e = Erf (d)  s = Add (e, _)  p = Mul (s, _)  a = Mul (x, p)"
        "  y = Conv (a, _, _) }",
        {**W4, **BN4},
    ),
}

READERS: dict[str, Case] = {
    "one_that_only_asks_for_the_shape": (
        TWO,
        "{ p = Conv (x, W)  h = Shape (p)  e = ConstantOfShape (h)  z = Sigmoid (e)"
        "  n = BatchNormalization (p, g, b, m, v)  y = Sigmoid (n) }",
        "{ p = Conv (x, _, _)  h = Shape (p)  e = ConstantOfShape (h)  z = Sigmoid (e)  y = Sigmoid (p) }",
        {**W4, **BN4},
    ),
    "one_behind_that_only_asks_for_the_size": (
        TWO,
        "{ r = Sigmoid (x)  n = BatchNormalization (r, g, b, m, v)  h = Shape (n)"
        "  e = ConstantOfShape (h)  z = Sigmoid (e)  y = Conv (n, W) }",
        "{ r = Sigmoid (x)  h = Shape (r)  e = ConstantOfShape (h)  z = Sigmoid (e)  y = Conv (r, _, _) }",
        {**W4, **BN4},
    ),
    "a_scale_of_zero_cannot_be_taken_back": (
        TWO,
        "{ o = Constant <value = float[4] {0.0,1.0,2.0,3.0}> ()  p = Conv (x, W)"
        "  n = BatchNormalization (p, o, b, m, v)  y = Relu (n)  z = Conv (p, U) }",
        "{ p = Conv (x, _)  n = BatchNormalization (p, _, _, _, _)  y = Relu (n)  z = Conv (p, _) }",
        {**W4, "U": (4, 4, 3, 3), **BN4},
    ),
    "a_product_cannot_take_a_shift_back": (
        TWO,
        "{ p = Conv (x, W)  q = Conv (x, U)  n = BatchNormalization (p, g, b, m, v)"
        "  y = Conv <pads=[1,1,1,1]> (n, T)  z = Mul (p, q) }",
        "{ p = Conv (x, _)  q = Conv (x, _)  n = Add (p, _)  y = Conv <pads=[1,1,1,1]> (n, _)"
        "  z = Mul (p, q) }",
        {**W4, **BN4, "U": (4, 4, 3, 3), "T": (4, 4, 3, 3)},
    ),
    "a_sum_that_broadcasts_takes_a_shift_back": (
        "(float[N,4,8,8] x, float[N,4,1,1] u) => (float[N,C,H,K] y, float[N,D,I,J] z)",
        "{ p = Conv (x, W)  q = Conv (u, U)  n = BatchNormalization (p, g, b, m, v)"
        "  y = Conv <pads=[1,1,1,1]> (n, T)  z = Add (p, q) }",
        "{ p = Conv (x, _, _)  q = Conv (u, _, _)  y = Conv <pads=[1,1,1,1]> (p, _)  z = Add (p, q) }",
        {**W4, **BN4, "U": (4, 4, 1, 1), "T": (4, 4, 3, 3)},
    ),
    "a_sum_whose_other_side_has_one_channel": (
        "(float[N,4,8,8] x, float[N,4,8,8] u) => (float[N,C,H,K] y, float[N,D,I,J] z)",
        "{ p = Conv (x, W)  q = Conv (u, U)  n = BatchNormalization (p, g, b, m, v)"
        "  y = Conv <pads=[1,1,1,1]> (n, T)  z = Add (p, q) }",
        "{ p = Conv (x, _)  q = Conv (u, _)  n = Add (p, _)  y = Conv <pads=[1,1,1,1]> (n, _)"
        "  z = Add (p, q) }",
        {**W4, **BN4, "U": (1, 4, 3, 3), "T": (4, 4, 3, 3)},
    ),
    "a_sum_whose_other_side_has_the_channels_elsewhere": (
        "(float[N,4,6,6] x, float[4,4,6] u) => (float[N,C,H,K] y, float[N,D,I,J] z)",
        "{ p = Conv (x, W)  q = Conv (u, U)  n = BatchNormalization (p, g, b, m, v)"
        "  y = Conv <pads=[1,1,1,1]> (n, T)  z = Add (p, q) }",
        "{ p = Conv (x, _)  q = Conv (u, _)  n = Add (p, _)  y = Conv <pads=[1,1,1,1]> (n, _)"
        "  z = Add (p, q) }",
        {**W4, **BN4, "U": (4, 4, 3), "T": (4, 4, 3, 3)},
    ),
    "behind_it_a_concat_of_unknown_size": (
        "(float[N,4,8,8] x, float[N,D,8,8] w) => (float[N,C,H,K] y)",
        "{ r = Sigmoid (x)  a = BatchNormalization (r, g, b, m, v)  c = Concat <axis=1> (a, w)"
        "  z = Constant <value = int64[1] {0}> ()  f = Constant <value = int64[1] {4}> ()"
        "  o = Constant <value = int64[1] {1}> ()  d = Slice (c, z, f, o)  y = Conv (d, W) }",
        "{ r = Sigmoid (x)  a = BatchNormalization (r, _, _, _, _)  c = Concat <axis=1> (a, w)"
        "  d = Slice (c, _, _, _)  y = Conv (d, _) }",
        {**W4, **BN4},
    ),
    "before_it_a_concat_along_a_height_of_unknown_size": (
        "(float[N,4,H,8] x, float[N,4,I,8] u) => (float[N,C,J,K] y)",
        "{ p = Conv <pads=[1,1,1,1]> (x, W)  q = Conv <pads=[1,1,1,1]> (u, U)  a = Concat <axis=2> (p, q)"
        "  " + NORM + " }",
        "{ p = Conv <pads=[1,1,1,1]> (x, _, _)  q = Conv <pads=[1,1,1,1]> (u, _, _)"
        "  y = Concat <axis=2> (p, q) }",
        {**W4, "U": (4, 4, 3, 3), **BN4},
    ),
    "a_part_of_the_channels_and_a_part_of_the_width": (
        TWO,
        "{ " + ENDS + " p = Conv (x, W)  a = Slice (p, z0, z4, one)  y = Mul (a, k)"
        "  z = Slice (p, z4, z6, three) }",
        "{ p = Conv (x, _)  a = Slice (p, _, _, _)  y = Mul (a, _)  z = Slice (p, _, _, _) }",
        {**W8, "k": (4, 1, 1)},
    ),
    "a_part_of_the_channels_and_all_of_them_backwards": (
        TWO,
        "{ " + ENDS + " p = Conv (x, W)  a = Slice (p, z0, z4, one)  y = Mul (a, k)"
        "  z = Slice (p, z7, far, one, back) }",
        "{ p = Conv (x, _)  a = Slice (p, _, _, _)  y = Mul (a, _)  z = Slice (p, _, _, _, _) }",
        {**W8, "k": (4, 1, 1)},
    ),
    "parts_scaled_by_a_number_and_by_a_vector": (
        TWO,
        "{ p = Conv (x, W)  f, l = Split <axis=1, num_outputs=2> (p)  y = Mul (f, k)  o = Constant"
        " <value = float {2.0}> ()  z = Mul (l, o) }",
        "{ p = Conv (x, _)  y, z = Split <axis=1, num_outputs=2> (p) }",
        {**W8, "k": (4, 1, 1)},
    ),
    "a_whole_scaled_by_a_number_and_a_part_by_a_vector": (
        TWO,
        "{ p = Conv (x, W)  f, l = Split <axis=1, num_outputs=2> (p)  y = Mul (f, k)  o = Constant"
        " <value = float {2.0}> ()  z = Mul (p, o) }",
        "{ p = Conv (x, _)  f, l = Split <axis=1, num_outputs=2> (p)  y = Mul (f, _)  z = Mul (p, _) }",
        {**W8, "k": (4, 1, 1)},
    ),
    "two_readers_that_agree_by_parts": (
        SQUARE,
        "{ p = Conv (x, W)  q, r = Split <axis=1, num_outputs=2> (p)  a = Concat <axis=1> (r, q)  "
        + NORM
        + " }",
        "{ p = Conv (x, _, _)  q, r = Split <axis=1, num_outputs=2> (p)  y = Concat <axis=1> (r, q) }",
        {"W": (8, 8, 3, 3), **BN8},
    ),
    "two_readers_that_differ": (
        TWO,
        "{ a = Conv (x, W)  " + NORM + "  z = Sigmoid (a) }",
        "{ a = Conv (x, _)  " + STAYS + "  z = Sigmoid (a) }",
        {**W4, **BN4},
    ),
    "a_reader_that_takes_the_inverse": (
        TWO,
        "{ a = Conv (x, W)  n = BatchNormalization (a, g, b, m, v)  y = Relu (n)  z = Conv (a, U) }",
        "{ a = Conv (x, _, _)  y = Relu (a)  z = Conv (a, _, _) }",
        {**W4, "U": (5, 4, 3, 3), **BN4},
    ),
    "a_padded_reader_cannot_take_the_inverse": (
        TWO,
        "{ a = Conv (x, W)  n = BatchNormalization (a, g, b, m, v)  y = Relu (n)"
        "  z = Conv <pads=[1,1,1,1]> (a, U) }",
        "{ a = Conv (x, _)  n = BatchNormalization (a, _, _, _, _)  y = Relu (n)"
        "  z = Conv <pads=[1,1,1,1]> (a, _) }",
        {**W4, "U": (5, 4, 3, 3), **BN4},
    ),
    "a_feature_that_two_norms_read": (
        IMAGE,
        "{ p = Conv (x, W)  n = BatchNormalization (p, g, b, m, v)  r = Relu (n)"
        "  f = Conv <pads=[1,1,1,1]> (r, W)  a = Concat <axis=1> (p, f)"
        "  l = BatchNormalization (a, gg, bb, mm, vv)  y = Relu (l) }",
        "{ p = Conv (x, _, _)  n = BatchNormalization (p, _, _, _, _)  r = Relu (n)"
        "  f = Conv <pads=[1,1,1,1]> (r, _, _)  a = Concat <axis=1> (p, f)  y = Relu (a) }",
        {**W4, **BN4, **dict.fromkeys(("gg", "bb", "mm", "vv"), (8,))},
    ),
    "a_shared_weight_folds_for_each": (
        "(float[N,4,8,8] x, float[N,4,8,8] u) => (float[N,C,H,K] y, float[N,D,I,J] z)",
        "{ a = Conv (x, W)  " + NORM + "  z = Conv (u, W) }",
        "{ y = Conv (x, _, _)  z = Conv (u, _) }",
        {**W4, **BN4},
    ),
    "a_gemm_that_two_read": (
        "(float[N,6] x) => (float[N,K] y, float[N,L] z)",
        "{ a = Gemm (x, W)  y = Mul (a, k)  z = Relu (a) }",
        "{ a = Gemm (x, _)  y = Mul (a, _)  z = Relu (a) }",
        {"W": (6, 4), "k": (4,)},
    ),
    "the_input_normalised_for_two_convs": (
        TWO,
        "{ n = BatchNormalization (x, g, b, m, v)  y = Conv (n, W)  z = Conv (n, U) }",
        "{ y = Conv (x, _, _)  z = Conv (x, _, _) }",
        {**W4, "U": (5, 4, 1, 1), **BN4},
    ),
    "the_input_normalised_for_a_conv_and_a_relu": (
        TWO,
        "{ n = BatchNormalization (x, g, b, m, v)  y = Conv (n, W)  z = Relu (n) }",
        "{ n = BatchNormalization (x, _, _, _, _)  y = Conv (n, _)  z = Relu (n) }",
        {**W4, **BN4},
    ),
    "a_part_of_a_concat_goes_on": (
        "(float[N,4,8,8] x, float[N,4,8,8] u) => (float[N,C,H,K] y)",
        "{ n = BatchNormalization (x, g, b, m, v)  r = Relu (u)  c = Concat <axis=1> (r, n)"
        "  y = Conv (c, W) }",
        "{ r = Relu (u)  c = Concat <axis=1> (r, x)  y = Conv (c, _, _) }",
        {"W": (5, 8, 3, 3), **BN4},
    ),
    "a_residual_stream_is_shifted_once": (
        IMAGE,
        "{ p = Conv (x, W)  n = BatchNormalization (p, v, b, m, v)  r = Relu (n)"
        "  c = Conv <pads=[1,1,1,1]> (r, W)  d = Conv (c, U)  s = Add (p, d)"
        "  k = BatchNormalization (s, vv, b, g, v)  t = Relu (k)  y = Conv (t, W) }",
        "{ p = Conv (x, _, _)  r = Relu (p)  c = Conv <pads=[1,1,1,1]> (r, _)  d = Conv (c, _, _)"
        "  s = Add (p, d)  t = Relu (s)  y = Conv (t, _) }",
        {**W4, "U": (4, 4, 1, 1), **BN4, "vv": (4,)},
    ),
    "a_residual_stream_with_negative_scales": (
        IMAGE,
        "{ p = Conv (x, W)  n = BatchNormalization (p, g, b, m, v)  r = Relu (n)"
        "  c = Conv <pads=[1,1,1,1]> (r, W)  s = Add (p, c)  y = Relu (s) }",
        "{ p = Conv (x, _)  n = BatchNormalization (p, _, _, _, _)  r = Relu (n)"
        "  c = Conv <pads=[1,1,1,1]> (r, _)  s = Add (p, c)  y = Relu (s) }",
        {**W4, **BN4},
    ),
    "a_shift_on_both_sides_of_a_sum": (
        IMAGE,
        "{ r = Relu (x)  s = Add (r, k)  t = Sub (x, s)  y = Conv (t, W) }",
        "{ r = Relu (x)  t = Sub (x, r)  y = Conv (t, _, _) }",
        {**W4, "k": (4, 1, 1)},
    ),
    "a_concat_along_width": (
        "(float[N,4,8,8] x, float[N,4,8,8] u) => (float[N,C,H,K] y)",
        "{ n = BatchNormalization (x, g, b, m, v)  c = Concat <axis=3> (u, n)  y = Conv (c, W) }",
        "{ n = BatchNormalization (x, _, _, _, _)  c = Concat <axis=3> (u, n)  y = Conv (c, _) }",
        {**W4, **BN4},
    ),
}

SPELLINGS: dict[str, Case] = {
    "a_layer_norm_without_a_bias": (
        "(float[N,7,6] x) => (float[N,L,K] y)",
        "{ a = LayerNormalization (x, g)  y = Mul (a, k) }",
        "{ y = LayerNormalization (x, _) }",
        {"g": (6,), "k": (6,)},
    ),
    "a_layer_norm_whose_mean_is_read": (
        "(float[N,7,6] x) => (float[N,L,K] y, float[N,L,J] z)",
        "{ a, z = LayerNormalization (x, g)  y = Mul (a, k) }",
        "{ a, z = LayerNormalization (x, _)  y = Mul (a, _) }",
        {"g": (6,), "k": (6,)},
    ),
    "a_grey_picture_normalised_for_three_channels": (
        GREY,
        "{ c = Sub (x, m)  d = Div (c, v)  y = Conv (d, W) }",
        "{ y = Conv (x, _, _) }",
        {"m": (1, 3, 1, 1), "v": (1, 3, 1, 1), "W": (5, 3, 3, 3)},
    ),
    "a_grey_picture_before_a_padded_conv": (
        GREY,
        "{ d = Mul (x, k)  y = Conv <pads=[1,1,1,1]> (d, W) }",
        "{ y = Conv <pads=[1,1,1,1]> (x, _) }",
        {"k": (1, 3, 1, 1), "W": (5, 3, 3, 3)},
    ),
    "a_grey_picture_shifted_before_a_padded_conv": (
        GREY,
        "{ d = Sub (x, m)  y = Conv <pads=[1,1,1,1]> (d, W) }",
        "{ d = Sub (x, _)  y = Conv <pads=[1,1,1,1]> (d, _) }",
        {"m": (1, 3, 1, 1), "W": (5, 3, 3, 3)},
    ),
    "a_row_of_affines_that_must_stay": (
        IMAGE,
        "{ s = Sigmoid (x)  c = Sub (s, m)  d = Div (c, v)  e = Mul (d, g)  f = Add (e, b)"
        "  y = Relu (f) }",
        "{ s = Sigmoid (x)  f = BatchNormalization (s, _, _, _, _)  y = Relu (f) }",
        dict.fromkeys(("m", "v", "g", "b"), (4, 1, 1)),
    ),
    "a_row_of_scales_along_width": (
        IMAGE,
        "{ s = Sigmoid (x)  c = Mul (s, k)  d = Div (c, v)  y = Relu (d) }",
        "{ s = Sigmoid (x)  d = Mul (s, _)  y = Relu (d) }",
        dict.fromkeys(("k", "v"), (8,)),
    ),
    "affines_along_two_axes_are_two": (
        IMAGE,
        "{ s = Sigmoid (x)  c = Mul (s, k)  d = Mul (c, v)  y = Relu (d) }",
        "{ s = Sigmoid (x)  c = Mul (s, _)  d = Mul (c, _)  y = Relu (d) }",
        {"k": (8,), "v": (4, 1, 1)},
    ),
    "a_negated_conv": (
        IMAGE,
        "{ p = Conv (x, W, c)  y = Neg (p) }",
        "{ y = Conv (x, _, _) }",
        {**W4, "c": (4,)},
    ),
    "a_division_of_one_by_it_is_no_affine": (
        IMAGE,
        "{ p = Conv (x, W)  y = Div (k, p) }",
        "{ p = Conv (x, _)  y = Div (_, p) }",
        {**W4, "k": (4, 1, 1)},
    ),
    "it_divides_by_0": (
        IMAGE,
        "{ p = Conv (x, W)  k = Constant <value = float[1] {0.0}> ()  y = Div (p, k) }",
        "{ p = Conv (x, _)  y = Div (p, _) }",
        W4,
    ),
    "a_default_is_no_constant": (
        "(float[N,4,8,8] x, float[4,1,1] k) => (float[N,C,H,K] y)",
        "{ p = Conv (x, W)  y = Mul (p, k) }",
        "{ p = Conv (x, _)  y = Mul (p, k) }",
        {**W4, "k": (4, 1, 1)},
    ),
    "shuffled_channels": (
        SQUARE,
        "{ p = Conv <group=2> (x, W)  i = Constant <value = int64[5] {0,2,4,6,6}> ()"
        "  j = Constant <value = int64[4] {0,8,6,6}> ()  q = Reshape (p, i)"
        "  r = Transpose <perm=[0,2,1,3,4]> (q)  a = Reshape (r, j)  " + NORM + " }",
        "{ p = Conv <group=2> (x, _, _)  q = Reshape (p, _)  r = Transpose (q)  y = Reshape (r, _) }",
        {"W": (8, 4, 3, 3), **BN8},
    ),
    "shuffled_channels_before_a_conv": (
        SQUARE,
        "{ e = Relu (x)  n = BatchNormalization (e, g, b, m, v)"
        "  i = Constant <value = int64[5] {0,4,2,8,8}> ()"
        "  j = Constant <value = int64[4] {0,8,8,8}> ()  q = Reshape (n, i)"
        "  r = Transpose <perm=[0,2,1,3,4]> (q)  a = Reshape (r, j)  y = Conv (a, W) }",
        "{ e = Relu (x)  q = Reshape (e, _)  r = Transpose (q)  a = Reshape (r, _)  y = Conv (a, _, _) }",
        {"W": (5, 8, 3, 3), **BN8},
    ),
    "a_shuffle_that_takes_pixels_along": (
        "(float[N,4,4,4] x) => (float[N,C,H,K] y)",
        "{ p = Conv (x, W)  i = Constant <value = int64[4] {0,4,4,4}> ()"
        "  q = Reshape (p, i)  r = Transpose <perm=[0,2,1,3]> (q)  a = Reshape (r, i)  "
        + NORM
        + " }",
        "{ p = Conv (x, _)  q = Reshape (p, _)  r = Transpose (q)  a = Reshape (r, _)  "
        + STAYS
        + " }",
        {"W": (4, 4, 1, 1), **BN4},
    ),
    "a_picture_normalised_before_a_padded_conv": (
        IMAGE,
        "{ c = Mul (x, k)  d = Sub (c, m)  e = Div (d, v)  y = Conv <pads=[1,1,1,1]> (e, W) }",
        "{ e = Add (x, _)  y = Conv <pads=[1,1,1,1]> (e, _) }",
        {**W4, "k": (), "m": (4, 1, 1), "v": (4, 1, 1)},
    ),
    "picked_channels": (
        IMAGE,
        "{ p = Conv (x, W)  i = Constant <value = int64[4] {2,0,3,1}> ()"
        "  a = Gather <axis=1> (p, i)  " + NORM + " }",
        "{ p = Conv (x, _, _)  y = Gather <axis=1> (p, _) }",
        {**W4, **BN4},
    ),
    "a_channel_picked_twice": (
        IMAGE,
        "{ p = Conv (x, W)  i = Constant <value = int64[4] {2,0,2,1}> ()"
        "  a = Gather <axis=1> (p, i)  " + NORM + " }",
        "{ p = Conv (x, _)  a = Gather <axis=1> (p, _)  " + STAYS + " }",
        {**W4, **BN4},
    ),
    "pixels_into_channels": (
        IMAGE,
        "{ p = Conv <pads=[1,1,1,1]> (x, W)  a = SpaceToDepth <blocksize=2> (p)  " + NORM + " }",
        "{ p = Conv <pads=[1,1,1,1]> (x, _)  a = SpaceToDepth (p)  " + STAYS + " }",
        {**W4, **BN16},
    ),
    "an_instance_norm_takes_it": (
        IMAGE,
        "{ a = InstanceNormalization (x, h, c)  " + NORM + " }",
        "{ y = InstanceNormalization (x, _, _) }",
        {"h": (4,), "c": (4,), **BN4},
    ),
    "a_layer_norm_over_other_axes": (
        "(float[N,4,8] x) => (float[N,C,H] y)",
        "{ a = LayerNormalization (x, h, c)  " + NORM + " }",
        "{ a = LayerNormalization (x, _, _)  " + STAYS + " }",
        {"h": (8,), "c": (8,), **BN4},
    ),
    "a_transposed_conv_takes_a_scale": (
        IMAGE,
        "{ r = Relu (x)  s = Mul (r, k)  y = ConvTranspose <strides=[2,2]> (s, W) }",
        "{ r = Relu (x)  y = ConvTranspose <strides=[2,2]> (r, _) }",
        {"W": (4, 5, 2, 2), "k": (4, 1, 1)},
    ),
    "a_transposed_conv_takes_no_shift": (
        IMAGE,
        "{ r = Relu (x)  s = Add (r, k)  y = ConvTranspose <strides=[2,2]> (s, W) }",
        "{ r = Relu (x)  s = Add (r, _)  y = ConvTranspose <strides=[2,2]> (s, _) }",
        {"W": (4, 5, 2, 2), "k": (4, 1, 1)},
    ),
}

CASES: dict[str, Case] = {
    **AXES,
    **WINDOWS,
    **BRANCHES,
    **BIASES,
    **BROADCASTS,
    **CHOICES,
    **FUSED,
    **MEETINGS,
    **READERS,
    **SPELLINGS,
}
