import pytest
import torch

from bnexport.errors import UsageError
from bnexport.fitting import batch_axis, chunks, fitted
from bnexport.runnable import Declared

X = Declared("x", "float32", (None, 3))
IDS = Declared("ids", "int64", (None, 4))
TABLE = Declared("table", "float32", (5, 2))
FREE = Declared("free")


def test_inputs_come_in_the_order_of_the_model():
    given = {"ids": torch.zeros(2, 4, dtype=torch.int64), "x": torch.zeros(2, 3)}
    made, notes = fitted(given, (X, IDS), cut=False)
    assert (list(made), notes) == (["x", "ids"], [])


def test_a_float_takes_the_models_width_with_a_note():
    made, notes = fitted({"x": torch.ones(2, 3, dtype=torch.float64)}, (X,), cut=False)
    assert made["x"].dtype == torch.float32
    assert notes == ["input 'x': float64 read as float32"]


def test_an_integer_takes_another_width_where_no_value_changes():
    narrow = Declared("ids", "int32", (None,))
    made, _ = fitted({"ids": torch.tensor([1, 2**31 - 1])}, (narrow,), cut=False)
    assert made["ids"].dtype == torch.int32
    with pytest.raises(UsageError, match="int64, and the model takes int32"):
        fitted({"ids": torch.tensor([1, 2**31])}, (narrow,), cut=False)


@pytest.mark.parametrize("dtype", [torch.int64, torch.bool, torch.complex64])
def test_another_kind_of_element_is_an_error(dtype):
    with pytest.raises(UsageError, match="'x' has another type"):
        fitted({"x": torch.ones(2, 3, dtype=dtype)}, (X,), cut=False)


def test_what_a_module_takes_it_is_given_as_it_is():
    made, notes = fitted({"free": torch.ones(2, dtype=torch.int8)}, (FREE,), cut=False)
    assert (made["free"].dtype, notes) == (torch.int8, [])


def test_a_missing_input_is_named_with_what_the_model_takes():
    with pytest.raises(UsageError, match=r"no input ids: it takes x Nx3 float32, ids Nx4 int64"):
        fitted({"x": torch.zeros(2, 3)}, (X, IDS), cut=False)


@pytest.mark.parametrize("shape", [(2, 4), (2,), (2, 3, 1), ()])
def test_another_shape_is_an_error(shape):
    with pytest.raises(UsageError, match=r"'x' has another shape: .* takes Nx3"):
        fitted({"x": torch.zeros(shape)}, (X,), cut=False)


def test_an_empty_input_is_an_error():
    with pytest.raises(UsageError, match="it is empty"):
        fitted({"x": torch.zeros(0, 3)}, (X,), cut=False)


def test_the_size_of_a_fixed_batch_counts_unless_it_is_cut():
    frozen = Declared("x", "float32", (4, 3))
    with pytest.raises(UsageError, match="takes 4x3"):
        fitted({"x": torch.zeros(8, 3)}, (frozen,), cut=False)


def test_the_samples_are_cut_and_the_rest_goes_along():
    inputs = {"x": torch.arange(15.0).reshape(5, 3), "table": torch.ones(5, 2)}
    names = batch_axis((X, TABLE), inputs)
    assert names == ("x",)
    pieces = list(chunks(inputs, names, 2))
    assert [size for size, _ in pieces] == [2, 2, 1]
    assert torch.equal(torch.cat([piece["x"] for _, piece in pieces]), inputs["x"])
    assert all(piece["table"] is inputs["table"] for _, piece in pieces)


def test_unequal_numbers_of_samples_cannot_be_cut():
    inputs = {"x": torch.zeros(5, 3), "ids": torch.zeros(4, 4)}
    with pytest.raises(UsageError, match="x has 5, ids has 4"):
        batch_axis((X, IDS), inputs)


def test_without_a_free_axis_nothing_can_be_cut():
    with pytest.raises(UsageError, match="no input has a free first axis"):
        batch_axis((TABLE,), {"table": torch.zeros(5, 2)})
