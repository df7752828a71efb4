"""A refusal says what to do."""

import pytest

from bnexport.errors import ExportError
from bnexport.targets.tensorrt import EngineOptions, build_engine
from bnexport.targets.tensorrt.advice import plain, remedy

HEAD = '<ir_version: 10, opset_import: ["" : 20]> g '
REFUSED = {
    "indices": (
        "(float[N,3,8,8] x) => (float[N,3,4,4] y, int64[N,3,4,4] i)"
        "{ r = Relu (x) y, i = MaxPool <kernel_shape = [2,2], strides = [2,2]> (r) }",
        "MaxUnpool",
    ),
    "nonzero": ("(float[N,3] x) => (int64[2,M] y) { y = NonZero (x) }", "torch.where"),
    "unique": ("(float[N] x) => (float[M] y) { y = Unique (x) }", "before or after the engine"),
    "uint8": (
        "(float[N,3] x) => (float[N,3] y) { a = Cast <to = 2> (x) y = Cast <to = 1> (a) }",
        "torch.int32",
    ),
    "scatter": (
        "(float[4,3] x, int64[4,3] i) => (float[4,3] y)"
        '{ y = ScatterElements <axis = 1, reduction = "add"> (x, i, x) }',
        "A scatter that adds",
    ),
    "antialias": (
        "(float[1,3,8,8] x) => (float[1,3,4,4] y)"
        "{ s = Constant <value_ints = [1,3,4,4]> ()"
        ' y = Resize <antialias = 1, mode = "linear"> (x, , , s) }',
        "antialias=False",
    ),
    "plugin": ("(float[N,3] x) => (float[N,3] y) { y = Foo (x) }", "no plugin is loaded"),
}


@pytest.mark.parametrize(("text", "words"), REFUSED.values(), ids=REFUSED)
def test_each_has_its_own(rtx, write, tmp_path, text, words):
    options = EngineOptions((1, 1, 1), sm=(89,))
    with pytest.raises(ExportError) as caught:
        build_engine(write(HEAD + text), tmp_path / "m.engine", rtx, options)
    assert words in caught.value.remedy
    assert "--target onnx" in caught.value.remedy
    assert "Assertion failed" not in str(caught.value)


def test_what_is_not_known_has_the_usual_one():
    assert remedy("Foo", "it is odd") == "Use --target onnx, or replace the operator in the model"


def test_conditions_of_the_source_are_left_out():
    text = "x: Assertion failed: a && b(c) == D::kE: A sentence: with a colon!"
    assert plain(text) == "A sentence: with a colon"
