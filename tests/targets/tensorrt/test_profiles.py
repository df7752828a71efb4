"""The shapes of an engine: of the batch, of other free axes, several, or one alone."""

import re

import pytest

from bnexport.errors import ExportError, UsageError
from bnexport.targets.tensorrt import EngineOptions, build_engine
from bnexport.targets.tensorrt.profiles import parse_profile, shape_profiles

HEAD = '<ir_version: 10, opset_import: ["" : 20]> g '
IMAGE = [("x", ("N", 3, "height", "width")), ("scale", (1,))]
BATCH = (1, 8, 32)


def shapes(*texts, inputs=IMAGE, static=False):
    return shape_profiles(inputs, texts, BATCH, static=static)


def test_the_batch_alone_needs_no_profile():
    found = shapes(inputs=[("x", ("N", 3, 8)), ("y", ("N",)), ("z", (4, 4))])
    assert found == ({"x": ((1, 3, 8), (8, 3, 8), (32, 3, 8)), "y": ((1,), (8,), (32,))},)


def test_the_first_axis_is_the_batch_whatever_it_is_called():
    assert shapes(inputs=[("x", ("batch_size", 3))])[0]["x"][2] == (32, 3)


def test_every_axis_by_its_name():
    (found,) = shapes("height=64:224:512, width=64:96:128")
    assert found == {"x": ((1, 3, 64, 64), (8, 3, 224, 96), (32, 3, 512, 128))}


def test_a_whole_input_by_its_shapes_and_one_number_for_three():
    (found,) = shapes("x=1x3x8x8:2x3x16x16:4x3x32x32")
    assert found["x"] == ((1, 3, 8, 8), (2, 3, 16, 16), (4, 3, 32, 32))
    (found,) = shapes("N=4,height=8,width=9")
    assert found["x"] == ((4, 3, 8, 9),) * 3


def test_several_profiles():
    few, many = shapes("N=1:1:4,height=8,width=8", "N=4:16:64,height=8,width=8")
    assert (few["x"][2][0], many["x"][2][0]) == (4, 64)


def test_a_static_engine_has_one_shape():
    (found,) = shapes("height=8,width=8", static=True)
    assert found["x"] == ((1, 3, 8, 8),) * 3
    (found,) = shapes("N=4,height=8,width=8", static=True)
    assert found["x"][0] == (4, 3, 8, 8)


def test_no_free_axis_no_profile():
    assert shapes(inputs=[("x", (1, 3))]) == ()


UNREADABLE = """height, height=, =1:2:3, height=1:2, height=1:2:3:4, height=a:b:c, height=3:2:1
height=0:1:2, x=1x2:1x2x3:1x2"""


@pytest.mark.parametrize("text", ["", "a=1:2:3,a=1:2:3", *re.split(r", |\n", UNREADABLE)])
def test_a_profile_that_cannot_be_read_is_a_usage_error(text):
    with pytest.raises(UsageError, match="profile"):
        parse_profile(text)
    with pytest.raises(UsageError):
        EngineOptions(profiles=(text,))


@pytest.mark.parametrize(
    ("texts", "static", "error", "words"),
    [
        ((), False, ExportError, "--profile height=MIN:OPT:MAX"),
        (("height=8",), False, ExportError, "--profile width="),
        (("depth=8",), False, UsageError, "The free axes are: N, height, width"),
        (("scale=2:3:4",), False, UsageError, "no free axis"),
        (("x=1x4x8x8",), False, UsageError, "Nx3xheightxwidth"),
        (("x=1x3x8",), False, UsageError, "does not fit"),
        (("height=1:2:3,width=8",), True, UsageError, "static"),
        (("height=8,width=8", "height=9,width=9"), True, UsageError, "several"),
    ],
)
def test_what_does_not_fit_is_told_by_name(texts, static, error, words):
    with pytest.raises(error, match=words):
        shapes(*texts, static=static)


def test_engines_of_several_profiles_and_static_ones_are_built(rtx, write, tmp_path):
    text = HEAD + "(float[N,3,H,8] x) => (float[N,3,H,8] y) { y = Relu (x) }"
    options = EngineOptions((1, 2, 4), sm=(89,), profiles=("H=8:16:32", "N=8:8:8,H=8"))
    info = build_engine(write(text), tmp_path / "m.engine", rtx, options)
    assert info.profiles == {"x": ((1, 3, 8, 8), (2, 3, 16, 8), (4, 3, 32, 8))}
    assert info.more_profiles == ({"x": ((8, 3, 8, 8),) * 3},)
    static = EngineOptions(sm=(89,), profiles=("H=16",), static=True)
    info = build_engine(write(text), tmp_path / "s.engine", rtx, static)
    assert (info.static, info.inputs[0].shape, info.outputs[0].shape) == (
        True,
        (1, 3, 16, 8),
        (1, 3, 16, 8),
    )


def test_an_axis_without_a_name_has_one(rtx, write, tmp_path):
    text = HEAD + "(float[?,3,?] x) => (float[?,3,?] y) { y = Relu (x) }"
    with pytest.raises(ExportError, match=r"--profile x\.2="):
        build_engine(write(text), tmp_path / "m.engine", rtx, EngineOptions(sm=(89,)))
    options = EngineOptions((1, 1, 2), sm=(89,), profiles=("x.2=1:4:8",))
    info = build_engine(write(text), tmp_path / "m.engine", rtx, options)
    assert info.profiles["x"] == ((1, 3, 1), (1, 3, 4), (2, 3, 8))
