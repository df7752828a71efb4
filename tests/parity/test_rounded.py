"""Half-precision files run with every value rounded where it is made: what a GPU does and a processor does not."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest
from graph_text import graph

from bnexport.parity.onnx_runner import OnnxRunner
from bnexport.parity.rounded import RoundedRunner
from bnexport.passes.graphs.half import LowerPrecision

CHAIN = """(float[N,4] x) => (float[N,4] y) {
    a = Mul (x, k)
    b = Mul (a, k)
    y = Mul (b, s)
}"""


def content(dtype: ir.DataType = ir.DataType.FLOAT16, io: bool = False) -> bytes:
    model = graph(CHAIN, k=(1,), s=(1,))
    model.graph.initializers["k"].const_value = ir.tensor(np.float32([300]), name="k")
    model.graph.initializers["s"].const_value = ir.tensor(np.float32([0.01]), name="s")
    LowerPrecision(dtype, io=io)(model)
    return ir.to_proto(model).SerializeToString()


def test_what_overflows_between_two_operators_is_seen():
    x = np.asarray([[0.5, 1.0, 0.1, -3.0]], np.float32)
    with OnnxRunner(content()) as plain, RoundedRunner(content()) as rounded:
        assert np.isfinite(plain.run((x,))[0]).all()  # which is why there is the other
        (y,) = rounded.run((x,))
    assert y.tolist()[0][1] == np.inf
    assert y.tolist()[0][3] == -np.inf
    assert np.isfinite(y[0, [0, 2]]).all()


@pytest.mark.parametrize("dtype", [ir.DataType.FLOAT16, ir.DataType.BFLOAT16])
def test_each_value_is_rounded_as_numpy_rounds_it(dtype):
    half = dtype.numpy()
    x = np.random.default_rng(0).standard_normal((64, 4)).astype(np.float32) * 0.1
    k, s = np.float32([300]).astype(half), np.float32([0.01]).astype(half)
    right = x.astype(half)
    for factor in (k, k, s):
        right = (right.astype(np.float32) * factor.astype(np.float32)).astype(half)
    with RoundedRunner(content(dtype)) as rounded:
        (y,) = rounded.run((x,))
        assert rounded.precision == {"FLOAT16": "float16", "BFLOAT16": "bfloat16"}[dtype.name]
    np.testing.assert_array_equal(y, right.astype(np.float32))


def test_a_half_interface_stays_one():
    with RoundedRunner(content(io=True)) as rounded:
        (y,) = rounded.run((np.ones((2, 4), np.float32),))
    assert y.dtype == np.float16


def test_the_first_value_that_is_not_finite_is_the_files_own():
    with RoundedRunner(content()) as rounded:
        assert rounded.origin((np.ones((1, 4), np.float32),)) == "Mul 'b'"


def test_a_file_can_be_opened_again(tmp_path):
    path = tmp_path / "m.onnx"
    path.write_bytes(content())
    runner, x = RoundedRunner(path), np.full((1, 4), 0.25, np.float32)
    results = []
    for _ in range(2):
        with runner:
            results.append(runner.run((x,))[0])
    np.testing.assert_array_equal(*results)
    assert str(path) in runner._what()
