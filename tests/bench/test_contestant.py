import ml_dtypes
import numpy as np
import pytest

from bnexport.bench.contestant import Unfit, check_finite, check_shapes

ONES = np.ones((2, 3), np.float32)


def spoilt(value, dtype=np.float32):
    array = np.ones((2, 3), dtype)
    array[1, 2] = value
    return array


def test_finite_numbers_pass():
    check_finite("a", {"y": ONES, "labels": np.zeros(2, np.int64)})


@pytest.mark.parametrize("dtype", [np.float16, np.float32, ml_dtypes.bfloat16])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_not_finite_is_named(value, dtype):
    with pytest.raises(Unfit, match=r"net in ort .*1 of the 6 elements of its output 'boxes'"):
        check_finite("net in ort", {"y": ONES, "boxes": spoilt(value, dtype)})


def test_nothing_is_no_output():
    with pytest.raises(Unfit, match="no output"):
        check_finite("a", {})


def test_the_same_shapes_pass_by_name_in_any_order():
    a, b = {"y": ONES, "z": ONES[:1]}, {"z": ONES[:1], "y": ONES}
    check_shapes("a", a, "b", b)


def test_other_names_are_taken_by_their_places():
    check_shapes("a", {"p": ONES, "q": ONES[:1]}, "b", {"y": ONES, "z": ONES[:1]})


def test_a_scalar_is_an_array_of_one():
    check_shapes("a", {"y": np.float32(1).reshape(())}, "b", {"y": np.ones((1, 1))})


def test_another_shape_is_named():
    with pytest.raises(Unfit, match=r"a .* against b: its output 'y' is 1x3, that one's 'z' 2x3"):
        check_shapes("a", {"y": ONES[:1]}, "b", {"z": ONES})


def test_another_number_of_outputs_is_named():
    with pytest.raises(Unfit, match="it has 2 outputs, that one 1"):
        check_shapes("a", {"y": ONES, "z": ONES}, "b", {"y": ONES})


def test_a_benchmark_of_the_wrong_file_exits_as_a_verification_that_failed():
    assert Unfit.exit_code == 1
