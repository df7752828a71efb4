"""Each rule alone, held to its definition: where it lets an affine pass or takes it up, the numbers are the same.

    back      op(moved(x)) = affine(op(x))
    forward   op(affine(x)) = moved(op(x))

For every axis, with and without shift, of either sign. A rule may refuse; what must pass is tested as graphs.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import onnx_ir as ir
import pytest
from graph_text import feeds, graph
from reference import evaluate

from bnexport.passes.graphs.affine import ChannelAffine
from bnexport.passes.graphs.linear import ABSORB, WITHOUT_BIAS
from bnexport.passes.graphs.linear_forward import ABSORB_FORWARD
from bnexport.passes.graphs.moves import BACK, FORWARD

Array = np.ndarray
Shapes = dict[str, tuple[int, ...]]

IMAGE, SQUARE, ROWS, TOKENS = "3,4,5,6", "2,4,4,4", "3,4", "3,5,4"
# name: shape of x, rank of y, the operator (or several, of which the last counts), constants
MOVES: dict[str, tuple[str, int, str, Shapes]] = {
    "abs": (IMAGE, 4, "y = Abs (x)", {}),
    "relu": (IMAGE, 4, "y = Relu (x)", {}),
    "leaky_relu": (IMAGE, 4, "y = LeakyRelu <alpha=-0.5> (x)", {}),
    "prelu": (IMAGE, 4, "y = PRelu (x, k)", {"k": (4, 1, 1)}),
    "prelu_along_width": (IMAGE, 4, "y = PRelu (x, k)", {"k": (6,)}),
    "identity": (IMAGE, 4, "y = Identity (x)", {}),
    "dropout": (IMAGE, 4, "y = Dropout (x)", {}),
    "to_integers": (ROWS, 2, "i = Cast <to=7> (x)  y = Cast <to=11> (i)", {}),
    "to_half": (ROWS, 2, "i = Cast <to=10> (x)  y = Cast <to=11> (i)", {}),
    "average": (SQUARE, 4, "y = AveragePool <kernel_shape=[2,2]> (x)", {}),
    "average_padded": (SQUARE, 4, "y = AveragePool <kernel_shape=[3,3], pads=[1,1,1,1]> (x)", {}),
    "average_counted": (
        SQUARE,
        4,
        "y = AveragePool <kernel_shape=[3,3], pads=[1,0,1,1], count_include_pad=1> (x)",
        {},
    ),
    "average_counted_same": (
        SQUARE,
        4,
        'y = AveragePool <kernel_shape=[3,3], auto_pad="SAME_UPPER", count_include_pad=1> (x)',
        {},
    ),
    "global_average": (SQUARE, 4, "y = GlobalAveragePool (x)", {}),
    "global_max": (SQUARE, 4, "y = GlobalMaxPool (x)", {}),
    "max": (SQUARE, 4, "y = MaxPool <kernel_shape=[2,2]> (x)", {}),
    "depth_to_space": ("3,8,2,8", 4, "y = DepthToSpace <blocksize=2> (x)", {}),
    "depth_to_space_crd": ("3,8,2,8", 4, 'y = DepthToSpace <blocksize=2, mode="CRD"> (x)', {}),
    "space_to_depth": ("3,4,4,4", 4, "y = SpaceToDepth <blocksize=2> (x)", {}),
    "transpose": (IMAGE, 4, "y = Transpose <perm=[0,2,3,1]> (x)", {}),
    "transpose_around": (TOKENS, 3, "y = Transpose (x)", {}),
    "flatten": (SQUARE, 2, "y = Flatten (x)", {}),
    "squeeze": ("3,4,1", 2, "i = Constant <value = int64[1] {2}> ()  y = Squeeze (x, i)", {}),
    "unsqueeze": (ROWS, 3, "i = Constant <value = int64[1] {1}> ()  y = Unsqueeze (x, i)", {}),
    "split_channels": (
        "2,6,4",
        4,
        "i = Constant <value = int64[4] {2,2,3,4}> ()  y = Reshape (x, i)",
        {},
    ),
    "join_channels": (
        "2,2,3,4",
        3,
        "i = Constant <value = int64[3] {2,6,4}> ()  y = Reshape (x, i)",
        {},
    ),
    "mix_channels": ("2,6,4", 3, "i = Constant <value = int64[3] {2,4,6}> ()  y = Reshape (x, i)", {}),
    "mix_batch": ("2,6,4", 2, "i = Constant <value = int64[2] {4,12}> ()  y = Reshape (x, i)", {}),
    "add_axes": (
        "4,6",
        3,
        "i = Constant <value = int64[3] {4,4,6}> ()  y = Expand (x, i)",
        {},
    ),
    "widen": (
        "3,1,4",
        3,
        "i = Constant <value = int64[3] {3,4,4}> ()  y = Expand (x, i)",
        {},
    ),
    "tile_width": ("3,4,4", 3, "i = Constant <value = int64[3] {1,1,2}> ()  y = Tile (x, i)", {}),
    "tile_channels": ("3,4,4", 3, "i = Constant <value = int64[3] {1,2,1}> ()  y = Tile (x, i)", {}),
    "pick": (TOKENS, 3, "i = Constant <value = int64[3] {3,-4,3}> ()  y = Gather <axis=2> (x, i)", {}),
    "pick_one": (TOKENS, 2, "i = Constant <value = int64 {1}> ()  y = Gather <axis=1> (x, i)", {}),
    "pick_a_table": (
        TOKENS,
        4,
        "i = Constant <value = int64[2,2] {1,0,2,2}> ()  y = Gather <axis=1> (x, i)",
        {},
    ),
    "pick_rows": (
        "4,4",
        2,
        "i = Constant <value = int64[3,1] {1,0,3}> ()  y = GatherND (x, i)",
        {},
    ),
    "pick_places": (
        "4,4",
        1,
        "i = Constant <value = int64[3,2] {1,0,3,3,2,1}> ()  y = GatherND (x, i)",
        {},
    ),
    "pick_one_place": (
        "4,4,4",
        1,
        "i = Constant <value = int64[2] {1,0}> ()  y = GatherND (x, i)",
        {},
    ),
    "pick_places_in_each": (
        "2,4,4",
        2,
        "i = Constant <value = int64[2,1] {1,3}> ()  y = GatherND <batch_dims=1> (x, i)",
        {},
    ),
    "crop_channels": (
        TOKENS,
        3,
        "i = Constant <value = int64[1] {1}> ()  e = Constant <value = int64[1] {9}> ()"
        "  a = Constant <value = int64[1] {-1}> ()  y = Slice (x, i, e, a)",
        {},
    ),
    "mean": (SQUARE, 4, "i = Constant <value = int64[2] {2,3}> ()  y = ReduceMean (x, i)", {}),
    "mean_over_channels": (SQUARE, 4, "i = Constant <value = int64[1] {1}> ()  y = ReduceMean (x, i)", {}),
    "mean_lost": (
        SQUARE,
        3,
        "i = Constant <value = int64[1] {1}> ()  y = ReduceMean <keepdims=0> (x, i)",
        {},
    ),
    "mean_of_all": (SQUARE, 4, "y = ReduceMean (x)", {}),
    "largest": (SQUARE, 4, "i = Constant <value = int64[2] {-1,1}> ()  y = ReduceMax (x, i)", {}),
    "sum": (SQUARE, 3, "i = Constant <value = int64[1] {2}> ()  y = ReduceSum <keepdims=0> (x, i)", {}),
    "sum_of_all": (SQUARE, 4, "y = ReduceSum (x)", {}),
    **{
        f"pad_{mode}": (
            SQUARE,
            4,
            "i = Constant <value = int64[8] {0,0,1,1,0,0,0,1}> ()"
            f'  y = Pad <mode="{mode}"> (x, i)',
            {},
        )
        for mode in ("constant", "reflect", "edge", "wrap")
    },
    "pad_channels": (
        SQUARE,
        4,
        'i = Constant <value = int64[8] {0,1,0,0,0,0,0,0}> ()  y = Pad <mode="edge"> (x, i)',
        {},
    ),
    "pad_channels_behind": (
        SQUARE,
        4,
        'i = Constant <value = int64[8] {0,0,0,0,0,1,0,0}> ()  y = Pad <mode="edge"> (x, i)',
        {},
    ),
    "pad_ones": (
        SQUARE,
        4,
        "i = Constant <value = int64[8] {0,0,1,1,0,0,0,1}> ()"
        "  o = Constant <value = double {1.0}> ()  y = Pad (x, i, o)",
        {},
    ),
    "pad_named_axes": (
        SQUARE,
        4,
        "i = Constant <value = int64[2] {1,1}> ()  a = Constant <value = int64[1] {1}> ()"
        '  y = Pad <mode="edge"> (x, i, , a)',
        {},
    ),
    **{
        f"resize_{mode}": (
            SQUARE,
            4,
            "i = Constant <value = int64[4] {2,4,7,4}> ()"
            f'  y = Resize <mode="{mode}"> (x, , , i)',
            {},
        )
        for mode in ("nearest", "linear", "cubic")
    },
    "resize_channels": (
        SQUARE,
        4,
        'i = Constant <value = int64[4] {2,6,4,4}> ()  y = Resize <mode="linear"> (x, , , i)',
        {},
    ),
    "resize_beyond": (
        SQUARE,
        4,
        "r = Constant <value = double[8] {0,0,-0.5,0,1,1,1,1.5}> ()"
        "  i = Constant <value = int64[4] {2,4,4,4}> ()"
        '  y = Resize <mode="linear", coordinate_transformation_mode="tf_crop_and_resize"> (x, r, , i)',
        {},
    ),
    **{
        f"sample_{mode}": (
            SQUARE,
            4,
            f'y = GridSample <padding_mode="{mode}"> (x, k)',
            {"k": (2, 4, 4, 2)},
        )
        for mode in ("zeros", "border", "reflection")
    },
}  # fmt: skip

LINEAR: dict[str, tuple[str, int, str, Shapes]] = {
    "conv": (SQUARE, 4, "y = Conv (x, W, c)", {"W": (4, 4, 3, 3), "c": (4,)}),
    "conv_in_groups": (SQUARE, 4, "y = Conv <group=2> (x, W)", {"W": (4, 2, 2, 2)}),
    "conv_padded": (SQUARE, 4, "y = Conv <pads=[0,1,0,0]> (x, W)", {"W": (4, 4, 3, 3)}),
    **{
        f"conv_same_{kernel}_{stride}": (
            SQUARE,
            4,
            f'y = Conv <auto_pad="SAME_UPPER", strides=[{stride},{stride}]> (x, W)',
            {"W": (4, 4, kernel, kernel)},
        )
        for kernel, stride in ((3, 1), (1, 1), (1, 2))
    },
    "conv_transpose": (SQUARE, 4, "y = ConvTranspose (x, W, c)", {"W": (4, 4, 2, 2), "c": (4,)}),
    "conv_transpose_in_groups": (
        SQUARE,
        4,
        "y = ConvTranspose <group=2, strides=[2,2], output_padding=[1,0]> (x, W)",
        {"W": (4, 2, 2, 2)},
    ),
    "gemm": ("4,4", 2, "y = Gemm <alpha=0.5, beta=2.0> (x, W, c)", {"W": (4, 4), "c": (4,)}),
    "gemm_turned": ("4,4", 2, "y = Gemm <transB=1> (x, W, c)", {"W": (4, 4), "c": (1, 4)}),
    "gemm_by_columns": ("4,4", 2, "y = Gemm <transA=1> (x, W, c)", {"W": (4, 4), "c": (1,)}),
    "gemm_without_bias": ("4,4", 2, "y = Gemm <alpha=0.5> (x, W)", {"W": (4, 4)}),
    "gemm_that_ignores_its_bias": (
        "4,4",
        2,
        "y = Gemm <beta=0.0> (x, W, c)",
        {"W": (4, 4), "c": (4,)},
    ),
    "matmul": ("4,4,4", 3, "y = MatMul (x, W)", {"W": (4, 4)}),
    "matmul_from_the_left": ("4,4,4", 3, "y = MatMul (W, x)", {"W": (4, 4)}),
    "matmul_by_a_stack": ("4,4,4", 3, "y = MatMul (x, W)", {"W": (4, 4, 4)}),
    "matmul_by_a_vector": ("4,4,4", 2, "y = MatMul (x, W)", {"W": (4,)}),
    "matmul_of_a_vector": ("4", 1, "y = MatMul (x, W)", {"W": (4, 4)}),
    "matmul_of_a_vector_from_the_left": ("4", 1, "y = MatMul (W, x)", {"W": (4, 4)}),
    "batch_norm": (SQUARE, 4, "y = BatchNormalization (x, g, b, m, v)", dict.fromkeys("gbmv", (4,))),
    "instance_norm": (SQUARE, 4, "y = InstanceNormalization (x, g, b)", dict.fromkeys("gb", (4,))),
    "layer_norm": (SQUARE, 4, "y = LayerNormalization (x, g, b)", dict.fromkeys("gb", (4,))),
    "layer_norm_without_bias": (SQUARE, 4, "y = LayerNormalization (x, g)", {"g": (4,)}),
    "layer_norm_over_two": (
        SQUARE,
        4,
        "y = LayerNormalization <axis=2> (x, g, b)",
        dict.fromkeys("gb", (4, 4)),
    ),
    "einsum": ("4,4,4", 3, 'y = Einsum <equation="abc,cd->abd"> (x, W)', {"W": (4, 4)}),
    "einsum_turned": ("4,4,4", 3, 'y = Einsum <equation="dc,abc->abd"> (W, x)', {"W": (4, 4)}),
    "einsum_down": ("4,4,4", 3, 'y = Einsum <equation="abc,bd->adc"> (x, W)', {"W": (4, 4)}),
    "einsum_outer": ("4,4", 3, 'y = Einsum <equation="ab,bcd->acd"> (x, W)', {"W": (4, 4, 4)}),
    "einsum_sums": ("4,4,4", 2, 'y = Einsum <equation="abc,bd->ad"> (x, W)', {"W": (4, 4)}),
}  # fmt: skip


def built(shape: str, rank: int, body: str, constants: Shapes) -> tuple[ir.Model, Array, Array]:
    """The model, an input and its output."""
    result = ",".join("ABCDE"[:rank])
    text = f"(double[{shape}] x) => (double[{result}] y) {{ {body} }}"
    model = graph(text.replace("float[", "double["), "double", **constants)
    x = feeds(model, 1)["x"]
    return model, x, outcome(model, x)


def outcome(model: ir.Model, x: Array) -> Array:
    return evaluate(ir.to_proto(model), {"x": x})[0]


def affines(value: Array, seed: int) -> Iterator[ChannelAffine]:
    """Along every axis of the value, and along none."""
    rng = np.random.default_rng(seed)
    for axis in (None, *range(value.ndim)):
        size = 1 if axis is None else value.shape[axis]
        for sign in (1, rng.choice([-1, 1], size)):
            scale, shift = sign * rng.uniform(0.5, 2, size), rng.standard_normal(size)
            yield ChannelAffine(axis, scale, shift)
            yield ChannelAffine(axis, scale, np.zeros(size))
            yield ChannelAffine(axis, scale**0, shift)


def applied(affine: ChannelAffine, value: Array) -> Array:
    behind = 0 if affine.axis is None else value.ndim - affine.axis - 1
    scale, shift = (v.reshape(-1, *[1] * behind) for v in (affine.scale, affine.shift))
    result: Array = value * scale + shift
    return result


def last(model: ir.Model) -> ir.Node:
    return model.graph.node(-1)


def reads_numbers(node: ir.Node) -> bool:
    """Whether the rule is asked at all: not of what is cast from integers."""
    source = node.inputs[0]
    return source is not None and source.is_graph_input()


@pytest.mark.parametrize("name", MOVES)
def test_moves_back(name):
    model, x, y = built(*MOVES[name])
    node = last(model)
    for affine in affines(y, 0):
        moved = BACK[node.op_type](node, affine)
        if isinstance(moved, ChannelAffine) and reads_numbers(node):
            assert moved.axis is None or moved.axis < x.ndim
            found = outcome(model, applied(moved, x))
            np.testing.assert_allclose(found, applied(affine, y), rtol=1e-6, atol=1e-6)
        elif not reads_numbers(node):
            assert isinstance(moved, str)


@pytest.mark.parametrize(
    "name", [name for name in MOVES if name not in ("largest", "sum", "sum_of_all")]
)
def test_moves_forward(name):
    model, x, y = built(*MOVES[name])
    node = last(model)
    for affine in affines(x, 1):
        moved = FORWARD[node.op_type](node, affine)
        if isinstance(moved, ChannelAffine) and reads_numbers(node):
            assert moved.axis is None or moved.axis < y.ndim
            found = outcome(model, applied(affine, x))
            np.testing.assert_allclose(found, applied(moved, y), rtol=1e-6, atol=1e-6)


NOT_EVEN_A_NUMBER = {
    "to_integers", "to_half", "pad_named_axes", "pad_ones", "resize_channels", "resize_beyond",
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(set(MOVES) - NOT_EVEN_A_NUMBER))
def test_a_positive_number_passes(name):
    model, *_ = built(*MOVES[name])
    number = ChannelAffine(None, np.full(1, 2.0), np.zeros(1))
    for rules in (BACK, FORWARD):
        rule = rules.get(last(model).op_type)
        assert rule is None or rule(last(model), number) == number


def replaced(model: ir.Model, new: dict[int, Array]) -> ir.Model:
    """With the last node's constants replaced."""
    result = model.clone()
    node = last(result)
    node.resize_inputs(max(len(node.inputs), *(index + 1 for index in new)))
    for index, numbers in new.items():
        name = f"new{index}"
        value = ir.val(name, const_value=ir.tensor(np.ascontiguousarray(numbers), name=name))
        result.graph.register_initializer(value)
        node.replace_input_with(index, value)
    return result


@pytest.mark.parametrize("name", LINEAR)
def test_absorbs_back(name):
    model, x, y = built(*LINEAR[name])
    node = last(model)
    for affine in affines(y, 2):
        new = ABSORB[node.op_type](node, affine)
        if isinstance(new, dict):
            found = outcome(replaced(model, new), x)
            if node.op_type in WITHOUT_BIAS:  # an Add behind it takes the shift
                found = applied(ChannelAffine(affine.axis, affine.scale**0, affine.shift), found)
            np.testing.assert_allclose(found, applied(affine, y), rtol=1e-6, atol=1e-6)


FORWARD_ONLY = [name for name in LINEAR if "instance" not in name and "layer" not in name]


@pytest.mark.parametrize("name", FORWARD_ONLY)
def test_absorbs_forward(name):
    model, x, _ = built(*LINEAR[name])
    node = last(model)
    index = next(
        i for i, value in enumerate(node.inputs) if value is not None and value.is_graph_input()
    )
    for affine in affines(x, 3):
        new = ABSORB_FORWARD[node.op_type](node, index, affine)
        if isinstance(new, tuple):
            constants, shift = new
            found = outcome(replaced(model, constants), x)
            if shift is not None:
                axis, vector = shift
                found = applied(ChannelAffine(axis, np.ones(1), vector), found)
            expected = outcome(model, applied(affine, x))
            np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-6)


TABLES = {
    "rows": ("y = Gather (W, x)", 3, (5, 4)),
    "numbers": ("y = Gather (W, x)", 2, (5,)),
    "columns": ("y = Gather <axis=1> (W, x)", 3, (4, 5)),
    "pictures": ("y = Gather (W, x)", 4, (5, 4, 4)),
}


@pytest.mark.parametrize("name", TABLES)
def test_a_table_takes_an_affine(name):
    body, rank, weight = TABLES[name]
    result = ",".join("ABCDE"[:rank])
    model = graph(f"(int64[4,4] x) => (double[{result}] y) {{ {body} }}", "double", W=weight)
    x = feeds(model, 1)["x"]
    y = outcome(model, x)
    for affine in affines(y, 4):
        new = ABSORB["Gather"](last(model), affine)
        if isinstance(new, dict):
            found = outcome(replaced(model, new), x)
            np.testing.assert_allclose(found, applied(affine, y), rtol=1e-6, atol=1e-6)


GIVEN = {
    "conv": ("float[4,4,3,3] w", "y = Conv (x, w)"),
    "conv_bias": ("float[4] w", "y = Conv (x, W, w)"),
    "conv_transpose": ("float[4,4,3,3] w", "y = ConvTranspose (x, w)"),
    "conv_transpose_bias": ("float[4] w", "y = ConvTranspose (x, W, w)"),
    "matmul": ("float[4,4] w", "y = MatMul (x, w)"),
    "matmul_left": ("float[4,4] w", "y = MatMul (w, x)"),
    "instance_norm": ("float[4] w", "y = InstanceNormalization (x, w, c)"),
    "layer_norm": ("float[4] w", "y = LayerNormalization (x, w)"),
    "layer_norm_bias": ("float[4] w", "y = LayerNormalization (x, c, w)"),
    "batch_norm": ("float[4] w", "y = BatchNormalization (x, w, c, c, v)"),
    "batch_norm_mean": ("float[4] w", "y = BatchNormalization (x, c, c, w, v)"),
}
ROWS_GIVEN = {
    "gemm": ("float[4,4] w", "y = Gemm (x, w)"),
    "gemm_bias": ("float[4] w", "y = Gemm (x, U, w)"),
    "gather": ("float[4,4] w, int64[3] i", "y = Gather (w, i)"),
}


@pytest.mark.parametrize("name", [*GIVEN, *ROWS_GIVEN])
def test_a_weight_that_is_given_takes_nothing(name):
    given, body = {**GIVEN, **ROWS_GIVEN}[name]
    shape, result = ("4,4", "A,B") if name in ROWS_GIVEN else ("4,4,4,4", "A,B,C,D")
    text = f"(float[{shape}] x, {given}) => (float[{result}] y) {{ {body} }}"
    shapes = {"W": (4, 4, 3, 3), "U": (4, 4), "c": (4,), "v": (4,)}
    model = graph(text, **{key: shapes[key] for key in shapes if key in body})
    node = last(model)
    affine = ChannelAffine(1, np.full(4, 2.0), np.zeros(4))
    if node.op_type != "BatchNormalization" or name == "batch_norm":
        assert isinstance(ABSORB[node.op_type](node, affine), str)
    if node.op_type in ABSORB_FORWARD:
        assert isinstance(ABSORB_FORWARD[node.op_type](node, 0, affine), str)


@pytest.mark.parametrize(
    ("shape", "body"),
    [
        ("4,4,3,3", "y = Conv (W, x)"),
        ("4,4,3,3", "y = ConvTranspose (W, x)"),
        ("4,4", "y = Gemm (U, x)"),
        ("4", "y = BatchNormalization (W, x, c, c, v)"),
    ],
)
def test_what_is_read_as_a_weight_is_no_input(shape, body):
    result = "A,B" if "Gemm" in body else "A,B,C,D"
    shapes = {"W": (4, 4, 3, 3), "U": (4, 4), "c": (4,), "v": (4,)}
    constants = {key: shapes[key] for key in shapes if key in body}
    model = graph(f"(float[{shape}] x) => (float[{result}] y) {{ {body} }}", **constants)
    node = last(model)
    affine = ChannelAffine(None, np.full(1, 2.0), np.zeros(1))
    assert isinstance(ABSORB_FORWARD[node.op_type](node, 1, affine), str)


NORMS = dict.fromkeys("gbmv", (4,))
NORMED = "(float[N,4,6,6] x) => (float[A,B,C,D] y) { y = BatchNormalization (x, g, b, m, v) }"


def test_a_norm_that_trains_takes_nothing():
    node = last(graph(NORMED, **NORMS))
    node.attributes["training_mode"] = ir.AttrInt64("training_mode", 1)
    affine = ChannelAffine(1, np.full(4, 2.0), np.zeros(4))
    assert "statistics" in str(ABSORB["BatchNormalization"](node, affine))
    assert isinstance(ABSORB_FORWARD["BatchNormalization"](node, 0, affine), str)


def test_a_scale_of_zero_does_not_go_into_a_norm_behind_it():
    affine = ChannelAffine(1, np.array([1.0, 0, 2, 3]), np.ones(4))
    found = ABSORB_FORWARD["BatchNormalization"](last(graph(NORMED, **NORMS)), 0, affine)
    assert "scale of 0" in str(found)


@pytest.mark.parametrize(
    ("text", "op"),
    [
        ("(float[N,4,6,6] x) => (float[A,B,C,D] y, int64[A,B,C,D] i)"
         " { y, i = MaxPool <kernel_shape=[2,2]> (x) }", "MaxPool"),
        ("(float[N,4,6,6] x, bool t) => (float[N,4,6,6] y)"
         " { r = Constant <value = float {0.5}> ()  y = Dropout (x, r, t) }", "Dropout"),
        ("(float[N,4] x, int64[3] i) => (float[N,3] y) { y = Gather <axis=1> (x, i) }", "Gather"),
        ("(float[N,4] x) => (float16[N,4] y) { y = Cast <to=10> (x) }", "Cast"),
        ("(float16[N,4] x) => (float[N,4] y) { y = Cast <to=1> (x) }", "Cast"),
        ("(int64[N,4] x) => (float[N,4] y) { y = Cast <to=1> (x) }", "Cast"),
        ("(double[N,4] x) => (int64[N,4] y) { y = Cast <to=7> (x) }", "Cast"),
        ("(float[3,C,6] x) => (float[A,B] y) { y = Flatten (x) }", "Flatten"),
        ("(float[3,4,W] x) => (float[A,B] y) { y = Flatten (x) }", "Flatten"),
        ("(float[3,4,6] x, int64[2] s) => (float[A,B] y) { y = Reshape (x, s) }", "Reshape"),
        ("(float[N,4,6,6] x, float o) => (float[A,B,C,D] y)"
         " { i = Constant <value = int64[8] {0,0,1,1,0,0,1,1}> ()  y = Pad (x, i, o) }", "Pad"),
        ("(float[N,4,6,6] x, int64[8] i) => (float[A,B,C,D] y) { y = Pad (x, i) }", "Pad"),
    ],
)  # fmt: skip
def test_what_never_passes(text, op):
    node = last(graph(text))
    affine = ChannelAffine(1, np.full(4, 2.0), np.ones(4))
    assert isinstance(BACK[op](node, affine), str)
    assert isinstance(FORWARD[op](node, affine), str)


def test_a_padded_value_that_is_not_zero_in_an_old_opset():
    text = "(float[N,4,6,6] x) => (float[A,B,C,D] y)"
    pads = "i = Constant <value = int64[8] {0,0,1,1,0,0,1,1}> ()"
    node = last(graph(f"{text} {{ {pads}  y = Pad (x, i) }}"))
    scale = ChannelAffine(1, np.full(4, 2.0), np.zeros(4))
    assert isinstance(BACK["Pad"](node, scale), ChannelAffine)
    node.attributes["value"] = ir.AttrFloat32("value", 1.0)
    assert isinstance(BACK["Pad"](node, scale), str)
