"""Which operators are seen to mix samples, and where those that do not leave them."""

from __future__ import annotations

import onnx_ir as ir
import pytest
from graph_text import graph

from bnexport.parity.batch_axis import mixing

IMAGE = "(float[N,4,6,6] x) => (float[A,B,C,D] y)"
ROWS = "(float[N,6] x) => (float[A,B] y)"
BN = {"g": (4,), "b": (4,), "m": (4,), "v": (4,)}
AXIS = "i = Constant <value = int64[1] {%s}> ()"

MIXES = {
    "reduced": (f"{IMAGE} {{ {AXIS % 0} y = ReduceMean (x, i) }}", "reduces over the batch axis"),
    "reduced over all": ("(float[N,6] x) => (float y) { y = ReduceSum <keepdims=0> (x) }", "reduces"),
    "the best sample": (
        "(float[N,6] x) => (int64[A,B] y) { y = ArgMax <axis=0> (x) }",
        "reduces over the batch axis",
    ),
    "softmax": (f"{ROWS} {{ y = Softmax <axis=0> (x) }}", "runs over the batch axis"),
    "a running sum": (
        f"{ROWS} {{ i = Constant <value = int64 {{0}}> () y = CumSum (x, i) }}",
        "runs over the batch axis",
    ),
    "all pairs": (
        f"{ROWS} {{ t = Transpose (x) y = MatMul (x, t) }}",
        "sets the samples of one operand against those of another",
    ),
    "attention over the batch": (
        "(float[N,5,6] x) => (float[A,B,C] y) { t = Transpose <perm=[1,0,2]> (x)"
        " o = Transpose <perm=[1,2,0]> (x) y = MatMul (t, o) }",
        "sets the samples",
    ),
    "a sum over samples": (
        "(float[N,6] x) => (float[A,B] y) { t = Transpose (x) y = MatMul (t, x) }",
        "sums over the batch axis",
    ),
    "einsum": (
        "(float[N,6] x) => (float[A] y) { y = Einsum <equation = \"ni->i\"> (x) }",
        "sums over the batch axis",
    ),
    "layer norm": (
        "(float[N,6] x) => (float[A,B] y) { y = LayerNormalization <axis=0> (x, w) }",
        "normalises over the batch axis",
    ),
    "a fixed batch": (
        "(float[N,6] x) => (float[2,3] y) { i = Constant <value = int64[2] {2,3}> ()"
        " y = Reshape (x, i) }",
        "writes a fixed batch into the shape",
    ),
    "squeezed": ("(float[N,1,6] x) => (float[A,B] y) { y = Squeeze (x) }", "from a batch of one"),
    "the first sample": (
        f"{ROWS} {{ {AXIS % 0} j = Constant <value = int64[1] {{1}}> () y = Slice (x, i, j, i) }}",
        "takes some samples out of the batch",
    ),
    "padded": (
        f"{ROWS} {{ i = Constant <value = int64[4] {{1,0,0,0}}> () y = Pad (x, i) }}",
        "pads the batch axis",
    ),
    "time is the batch": (
        "(float[N,5,6] x) => (float[A,B,C,D] y) { y = GRU <hidden_size=3> (x, w, r) }",
        "as if it were time",
    ),
    "channels are the batch": (
        "(float[N,4,6] x) => (float[A,B,C] y) { t = Transpose <perm=[1,0,2]> (x) y = Conv (t, k) }",
        "where it has its channels",
    ),
}  # fmt: skip

SHAPES = {"w": (6,), "r": (1, 9, 3), "k": (4, 4, 1)}

APART = {
    "a network": f"{IMAGE} {{ a = BatchNormalization (x, g, b, m, v) c = Relu (a)"
    " y = MaxPool <kernel_shape=[2,2]> (c) }",
    "tokens": "(float[N,4,6,6] x) => (float[A,B,C] y) { i = Constant <value = int64[3] {0,4,36}> ()"
    " a = Reshape (x, i) t = Transpose <perm=[0,2,1]> (a) s = Softmax <axis=-1> (t) y = MatMul (s, t4) }",
    "windows": "(float[N,4,6,6] x) => (float[A,B,C] y) { i = Constant <value = int64[6] {-1,4,2,3,2,3}> ()"
    " j = Constant <value = int64[3] {-1,9,4}> () o = Constant <value = int64[3] {-1,36,4}> ()"
    " a = Reshape (x, i) t = Transpose <perm=[0,2,4,3,5,1]> (a) p = Reshape (t, j) q = Softmax <axis=1> (p)"
    " y = Reshape (q, o) }",
    "flattened": "(float[N,4,6,6] x) => (float[A,B] y) { y = Flatten (x) }",
    "time first": "(float[N,5,6] x) => (float[A,B,C] y) { t = Transpose <perm=[1,0,2]> (x)"
    " i = Constant <value = int64 {0}> () y = CumSum (t, i) }",
    "reduced over channels": f"(float[N,4,6,6] x) => (float[A,B,C] y) {{ {AXIS % 1}"
    " y = ReduceMean <keepdims=0> (x, i) }",
    "batch in the channels": "(float[N,4,6,6] x) => (float[A,B,C,D] y) { i = Constant <value = int64[4] {1,-1,6,6}> ()"
    " a = Reshape (x, i) j = Constant <value = int64[4] {-1,4,6,6}> () y = Reshape (a, j) }",
    "siamese": "(float[N,6] x, float[N,6] u) => (float[A,B] y) { c = Concat <axis=0> (x, u) y = Relu (c) }",
    "an operator that is not known": "(float[N,6] x) => (int64[A,B] y) { y = NonZero (x) }",
    "a fixed file": "(float[2,6] x) => (float[A,B] y) { y = Softmax <axis=0> (x) }",
    "a table": "(int64[N,5] x) => (float[A,B,C] y) { y = Gather (w2, x) }",
    "indices that are computed": "(float[N,6] x) => (float[A,B] y) { s = Shape <end=1> (x) n = Squeeze (s)"
    " zero = Constant <value = int64 {0}> () one = Constant <value = int64 {1}> ()"
    " i = Range (zero, n, one) y = Gather (x, i) }",
    "every sample sliced": "(float[N,6] x) => (float[A,B] y) { i = Constant <value = int64[2] {0,1}> ()"
    " j = Constant <value = int64[2] {2147483647,4}> () a = Constant <value = int64[2] {0,1}> ()"
    " y = Slice (x, i, j, a) }",
    "a row that all share": "(float[N,6] x, float[6] u) => (float[A,B] y) { y = Add (x, u) }",
    "a length": "(float[N,6] x) => (float[A,B] y) { s = Shape (x) f = Cast <to=1> (s)"
    " i = Constant <value = int64 {1}> () g0 = Gather (f, i) y = Mul (x, g0) }",
}  # fmt: skip


def model(text: str) -> ir.Model:
    shapes = {**SHAPES, **BN, "t4": (4, 4), "w2": (9, 3)}
    used = {name: shape for name, shape in shapes.items() if name in _words(text)}
    if "GRU" in text:
        used["w"] = (1, 9, 6)
    return graph(text, **used)


def _words(text: str) -> set[str]:
    for sign in "(),={}":
        text = text.replace(sign, " ")
    return set(text.split())


@pytest.mark.parametrize(("text", "what"), MIXES.values(), ids=MIXES)
def test_it_mixes(text, what):
    (found,) = mixing(model(text))
    assert what in str(found)


@pytest.mark.parametrize("text", APART.values(), ids=APART)
def test_samples_stay_apart(text):
    assert mixing(model(text)) == []


def test_a_batch_norm_that_trains_is_named_by_its_layer():
    text = "(float[N,4,6,6] x) => (float[A,B,C,D] y)"
    body = "y, p, q = BatchNormalization <training_mode=1> (x, g, b, m, v)"
    made = graph(f"{text} {{ {body} }}", **BN)
    made.graph[-1].metadata_props["bnexport.module"] = "layer1.bn"
    expected = "BatchNormalization in layer 'layer1.bn' normalises by the statistics of the batch"
    assert [str(found) for found in mixing(made)] == [expected]


def test_every_batch_norm_by_hand_is_named():
    once = "m{0} = ReduceMean (a{0}, i) c{0} = Sub (a{0}, m{0}) a{1} = Relu (c{0})"
    body = " ".join(once.format(k, k + 1) for k in range(3))
    axes = "i = Constant <value = int64[3] {0,2,3}> () a0 = Relu (x)"
    made = graph(f"{IMAGE} {{ {axes} {body} y = Relu (a3) }}")
    assert [found.value for found in mixing(made)] == ["m0", "m1", "m2"]


def test_operators_of_other_domains_are_left_alone():
    made = graph(f"{ROWS} {{ y = Softmax <axis=0> (x) }}")
    made.graph[-1].domain = "custom"
    assert mixing(made) == []
