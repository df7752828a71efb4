"""Lowering to half precision: valid graphs, float32 at the edges, and what must stay stays."""

from __future__ import annotations

import random

import numpy as np
import onnx
import onnx_ir as ir
import pytest
import random_operators  # noqa: F401 - lists the operators
from fuzz import SHAPES
from graph_text import HEAD, feeds, graph, run
from random_graphs import Sketch

from bnexport.parity.rounded import RoundedRunner
from bnexport.passes.graphs.half import LowerPrecision, Single

HALF, BRAIN = ir.DataType.FLOAT16, ir.DataType.BFLOAT16

CONVS = """(float[N,3,8,8] x) => (float[N,5,1,1] y) {
    a = Conv <kernel_shape = [3, 3]> (x, w)
    b = Relu (a)
    c = Conv <kernel_shape = [3, 3]> (b, u)
    d = LeakyRelu (c)
    y = GlobalAveragePool (d)
}"""


def lowered(
    model: ir.Model, dtype: ir.DataType = HALF, stays: str = "", io: bool = False
) -> list[Single]:
    singles: list[Single] = []
    names = set(stays.split())
    LowerPrecision(
        dtype,
        lambda node: "asked" if node.outputs[0].name in names else "",
        record=singles.append,
        io=io,
    )(model)
    onnx.checker.check_model(ir.to_proto(model), full_check=True)
    return singles


def convs() -> ir.Model:
    return graph(CONVS, w=(4, 3, 3, 3), u=(5, 4, 3, 3))


def types(model: ir.Model) -> dict[str, str]:
    return {node.outputs[0].name: node.outputs[0].dtype.name for node in model.graph}


def casts(model: ir.Model) -> int:
    return sum(node.op_type == "Cast" for node in model.graph)


def test_everything_is_half_between_one_cast_in_and_one_out():
    model, exact = convs(), convs()
    assert lowered(model) == []
    assert casts(model) == 2
    assert [value.name for value in model.graph.outputs] == ["y"]
    assert {value.dtype for value in (*model.graph.inputs, *model.graph.outputs)} == {
        ir.DataType.FLOAT
    }
    assert {tensor.dtype for tensor in model.graph.initializers.values()} == {HALF}
    inputs = feeds(exact, 3)
    (got,), (right,) = run(model, inputs), run(exact, inputs)
    assert got.dtype == np.float32
    assert 0 < np.abs(got - right).max() < 1e-2 * np.abs(right).max()


def test_a_second_run_finds_nothing_to_do():
    model = convs()
    lowered(model)
    before = [node.op_type for node in model.graph]
    lowered(model)
    assert [node.op_type for node in model.graph] == before


def test_the_model_that_a_clone_was_made_of_is_left():
    model = convs()
    before = types(model)
    lowered(model.clone())
    assert types(model) == before
    assert {tensor.dtype for tensor in model.graph.initializers.values()} == {ir.DataType.FLOAT}


def test_with_io_the_interface_is_half():
    model = convs()
    lowered(model, io=True)
    assert casts(model) == 0
    assert {value.dtype for value in (*model.graph.inputs, *model.graph.outputs)} == {HALF}


def test_a_node_that_stays_has_a_cast_on_either_side_and_its_reason():
    model = convs()
    (single,) = lowered(model, stays="c")
    assert (single.value, single.operator, single.reason) == ("c", "Conv", "asked")
    assert types(model)["c"] == "FLOAT"
    assert types(model)["b"] == types(model)["d"] == "FLOAT16"
    assert casts(model) == 4
    assert model.graph.initializers["u"].dtype == ir.DataType.FLOAT


def test_an_output_that_is_read_on_keeps_its_name_and_type():
    text = "(float[N,4] x) => (float[N,4] a, float[N,4] y) { a = Relu (x)  y = Mul (a, s) }"
    model, exact = graph(text, s=(4,)), graph(text, s=(4,))
    lowered(model)
    assert [value.name for value in model.graph.outputs] == ["a", "y"]
    inputs = feeds(exact, 2)
    for got, right in zip(run(model, inputs), run(exact, inputs), strict=True):
        assert got.dtype == np.float32
        np.testing.assert_allclose(got, right, rtol=3e-3)


def test_an_output_of_a_node_that_stays_is_cast_for_a_half_interface():
    model = convs()
    lowered(model, stays="y", io=True)
    assert model.graph.outputs[0].name == "y"
    assert model.graph.outputs[0].dtype == HALF


@pytest.mark.parametrize(
    ("text", "shapes", "reason"),
    [
        ("y = BatchNormalization (x, s, t, m, v)", "s t m v", "BatchNorm"),
        (
            "a = Shape (x)  b = Cast <to = 1> (a)  c = ReduceSum <keepdims = 0> (b)  y = Mul (x, c)",
            "",
            "counts",
        ),
        ("y = com.microsoft.Gelu (x)", "", "com.microsoft"),
    ],
)
def test_what_stays_says_why(text, shapes, reason):
    head = HEAD.replace('"" : 18', '"" : 18, "com.microsoft" : 1')
    proto = onnx.parser.parse_model(head + f"(float[N,4] x) => (float[N,4] y) {{ {text} }}")
    for name in shapes.split():
        ones = np.ones(4, np.float32)
        proto.graph.initializer.append(onnx.numpy_helper.from_array(ones, name))
    model, singles = ir.from_proto(onnx.shape_inference.infer_shapes(proto)), []
    LowerPrecision(HALF, record=singles.append)(model)
    assert reason in singles[0].reason


@pytest.mark.parametrize(
    ("number", "stays"), [(1e-5, False), (1e-12, True), (1e9, True), (6e4, False), (0.0, False)]
)
def test_a_constant_that_half_precision_has_not_keeps_its_reader(number, stays):
    model = graph("(float[N,4] x) => (float[N,4] y) { y = Add (x, e) }", e=())
    model.graph.initializers["e"].const_value = ir.tensor(np.float32(number), name="e")
    assert bool(lowered(model)) is stays


def test_small_weights_stay_and_bfloat16_has_them():
    def small() -> ir.Model:
        model = graph("(float[N,4] x) => (float[N,4] y) { y = MatMul (x, w) }", w=(4, 4))
        tiny = model.graph.initializers["w"].const_value.numpy() * np.float32(1e-6)
        model.graph.initializers["w"].const_value = ir.tensor(tiny, name="w")
        return model

    assert "too small for float16" in lowered(small())[0].reason
    assert not lowered(small(), BRAIN)


def test_bfloat16_needs_an_opset_that_has_it():
    singles = lowered(convs(), BRAIN)
    assert {single.reason for single in singles if single.operator == "Conv"} == {
        "ONNX has no Conv of bfloat16"
    }


def test_infinities_among_constants_are_kept():
    model = graph("(float[N,4] x) => (float[N,4] y) { y = Add (x, m) }", m=(4,))
    mask = np.asarray([0, -np.inf, 0, 0], np.float32)
    model.graph.initializers["m"].const_value = ir.tensor(mask, name="m")
    assert not lowered(model)


def test_scales_of_a_resize_are_float32_always():
    text = '(float[N,2,4,4] x) => (float[N,2,8,8] y) { y = Resize <mode = "linear"> (x, , s) }'
    proto = onnx.parser.parse_model(HEAD + text)
    scales = np.asarray([1, 1, 2, 2], np.float32)
    proto.graph.initializer.append(onnx.numpy_helper.from_array(scales, "s"))
    model = ir.from_proto(proto)
    lowered(model)
    assert model.graph.initializers["s"].dtype == ir.DataType.FLOAT
    assert casts(model) == 2


def test_what_a_subgraph_reads_stays_float32():
    text = """(float[N,4] x, bool c) => (float[N,4] y) {
        a = Relu (x)
        y = If (c) <
            then_branch = then () => (float[N,4] p) { p = Neg (a) },
            else_branch = other () => (float[N,4] q) { q = Abs (a) }
        >
    }"""
    model, exact = graph(text), graph(text)
    (single,) = lowered(model)
    assert (single.operator, single.reason) == ("If", "it has a subgraph")
    inputs = {name: np.asarray(array) for name, array in feeds(exact, 2).items()}
    np.testing.assert_allclose(run(model, inputs)[0], run(exact, inputs)[0], rtol=1e-3)


def test_names_never_collide():
    text = "(float[N,4] x) => (float[N,4] y) { x_float16 = Relu (x)  y = Mul (x_float16, s) }"
    model = graph(text, s=(4,))
    lowered(model)
    names = [value.name for node in model.graph for value in node.outputs]
    assert len(names) == len(set(names))
    assert "x_float16_1" in names


def sketch(seed: int) -> ir.Model:
    source = random.Random(seed)
    drawn = Sketch(source, np.float32)
    drawn.input(*SHAPES[source.randrange(len(SHAPES))])
    drawn.grow(source.randrange(3, 13))
    return ir.from_proto(onnx.shape_inference.infer_shapes(drawn.model()))


@pytest.mark.parametrize("seed", range(60))
def test_random_graphs_are_right_to_half_precision_whatever_stays(seed):
    exact, model = sketch(seed), sketch(seed)
    if not exact.graph.outputs:
        pytest.skip("this one has no output")
    choose = random.Random(seed)
    names = [node.outputs[0].name for node in model.graph]
    stays = {name for name in names if choose.random() < 0.3} if seed % 2 else set()
    lowered(model, stays=" ".join(stays))
    inputs = feeds(exact, 2, seed)
    with RoundedRunner(ir.to_proto(model).SerializeToString()) as runner:
        rounded = runner.run(tuple(inputs.values()))
    for got, values, right in zip(run(model, inputs), rounded, run(exact, inputs), strict=True):
        assert got.dtype == values.dtype == right.dtype
        if right.dtype == np.float32:
            norm = np.linalg.norm(right)
            assert np.linalg.norm(got - right) <= 0.05 * norm
            assert np.linalg.norm(values - right) <= 0.05 * norm


@pytest.mark.parametrize(
    "text",
    [
        "y = RandomNormal <shape = [2, 3]> ()",
        "y = RandomUniform <dtype = 1, shape = [2, 3]> ()",
        "a = Shape (x)  y = ConstantOfShape (a)",
        "y = RandomNormalLike (x)",
        "y = EyeLike <dtype = 1> (x)",
        "y = CastLike (x, k)",
        "a = Size (x)  y = HannWindow (a)",
    ],
)
def test_what_says_its_type_by_an_attribute_or_by_none(text):
    model = graph(
        f"(float[N,3] x) => (float[A,3] y) {{ {text} }}".replace(
            "[A,3] y", "[A] y" if "Hann" in text else "[A,3] y"
        ),
        k=(1,),
    )
    lowered(model)
    inputs = feeds(model, 2)
    assert run(model, inputs)[0].dtype == np.float32
    with RoundedRunner(ir.to_proto(model).SerializeToString()) as runner:
        assert runner.run(tuple(inputs.values()))[0].dtype == np.float32


ODD = {
    "default": "(float[N,4] x, float[4] w) => (float[N,4] y) { y = Mul (x, w) }",
    "sequence": """(float[N,4] x) => (float[N,8] y) {
        a = Relu (x)  s = SequenceConstruct (a, x)  y = ConcatFromSequence <axis = 1> (s) }""",
    "optional": """(float[N,4] x) => (float[N,4] y) {
        a = Relu (x)  o = Optional (a)  y = OptionalGetElement (o) }""",
    "stashed": """(float[N,4] x) => (float[N,4] y, float[N,1] m) {
        y, m = LayerNormalization <axis = -1> (x, w, w) }""",
    "loop": """(float[N,4] x, int64 m, bool c) => (float[N,4] y) { a = Relu (x)
        y = Loop (m, c, a) <body = b (int64 i, bool p, float[N,4] s) => (bool q, float[N,4] t) {
            q = Identity (p)  t = Add (s, a) }> }""",
    "indices": """(float[N,6] x) => (float[N,2] y, int64[N,2] i) {
        k = Constant <value_ints = [2]> ()  y, i = TopK (x, k) }""",
    "wider": "(float[N,4] x) => (double[N,4] y) { a = Mul (x, w)  y = Cast <to = 11> (a) }",
    "partly": """(float[N,4] x) => (float[N,4] y) {
        a = Cast <to = 10> (x)  b = Relu (a)  c = Cast <to = 1> (b)  y = Mul (c, w) }""",
}


@pytest.mark.parametrize("dtype", [HALF, BRAIN])
@pytest.mark.parametrize("io", [False, True])
@pytest.mark.parametrize("text", ODD.values(), ids=ODD)
def test_odd_graphs_stay_valid_and_right(text, io, dtype):
    def made() -> ir.Model:
        return graph(text, w=(4,)) if "w)" in text else graph(text)

    exact, model = made(), made()
    lowered(model, dtype, io=io)
    if dtype == BRAIN or io:
        return  # ONNX Runtime has no kernels, or is fed other types
    inputs = {name: np.asarray(array) for name, array in feeds(exact, 2).items()}
    inputs.pop("w", None)
    for got, right in zip(run(model, inputs), run(exact, inputs), strict=True):
        assert got.dtype == right.dtype
        np.testing.assert_allclose(got, right, rtol=2e-3, atol=2e-3)
