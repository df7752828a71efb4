import pytest
import torch

from bnexport.errors import UsageError
from bnexport.fitting import batch_axis, chunks, fitted
from bnexport.runnable import Declared

X = Declared("x", "float32", (None, 3))
IDS = Declared("ids", "int64", (None, 4))
TABLE = Declared("table", "float32", (5, 2))
FREE = Declared("free")
FROZEN = Declared("x", "float32", (4, 3))


def test_inputs_come_in_the_order_of_the_model():
    given = {"ids": torch.zeros(2, 4, dtype=torch.int64), "x": torch.zeros(2, 3)}
    made, notes = fitted(given, (X, IDS))
    assert (list(made), notes) == (["x", "ids"], [])


def test_a_float_takes_the_models_width_with_a_note():
    made, notes = fitted({"x": torch.ones(2, 3, dtype=torch.float64)}, (X,))
    assert made["x"].dtype == torch.float32
    assert notes == ["input 'x': float64 read as float32"]


def test_an_integer_takes_another_width_where_no_value_changes():
    narrow = Declared("ids", "int32", (None,))
    made, _ = fitted({"ids": torch.tensor([1, 2**31 - 1])}, (narrow,))
    assert made["ids"].dtype == torch.int32
    with pytest.raises(UsageError, match="int64, and the model takes int32"):
        fitted({"ids": torch.tensor([1, 2**31])}, (narrow,))


@pytest.mark.parametrize("dtype", [torch.int64, torch.bool, torch.complex64])
def test_another_kind_of_element_is_an_error(dtype):
    with pytest.raises(UsageError, match="'x' has another type"):
        fitted({"x": torch.ones(2, 3, dtype=dtype)}, (X,))


def test_what_a_module_takes_it_is_given_as_it_is():
    made, notes = fitted({"free": torch.ones(2, dtype=torch.int8)}, (FREE,))
    assert (made["free"].dtype, notes) == (torch.int8, [])


def test_a_missing_input_is_named_with_what_the_model_takes():
    with pytest.raises(UsageError, match=r"no input ids: it takes x Nx3 float32, ids Nx4 int64"):
        fitted({"x": torch.zeros(2, 3)}, (X, IDS))


@pytest.mark.parametrize("shape", [(2, 4), (2,), (2, 3, 1), ()])
def test_another_shape_is_an_error(shape):
    with pytest.raises(UsageError, match=r"'x' has another shape: .* takes Nx3"):
        fitted({"x": torch.zeros(shape)}, (X,))


def test_an_empty_input_is_an_error():
    with pytest.raises(UsageError, match="it is empty"):
        fitted({"x": torch.zeros(0, 3)}, (X,))


def test_the_size_of_a_frozen_batch_counts_unless_it_is_cut():
    given = {"x": torch.zeros(8, 3)}
    for batch in (None, 2):
        with pytest.raises(UsageError, match="takes 4x3"):
            fitted(given, (FROZEN,), batch)
    assert len(fitted(given, (FROZEN,), 4)[0]["x"]) == 8


def test_a_frozen_batch_is_cut_where_it_divides_the_samples():
    assert batch_axis((FROZEN,), {"x": torch.zeros(8, 3)}, 4) == ("x",)
    with pytest.raises(UsageError, match="takes 4 at a time alone, and 6 are given"):
        batch_axis((FROZEN,), {"x": torch.zeros(6, 3)}, 4)


def test_a_table_that_is_as_long_as_a_batch_is_not_cut():
    inputs = {"x": torch.zeros(10, 3), "table": torch.zeros(5, 2)}
    assert batch_axis((X, TABLE), inputs, 5) == ("x",)


def test_the_samples_are_cut_and_the_rest_goes_along():
    inputs = {"x": torch.arange(15.0).reshape(5, 3), "table": torch.ones(5, 2)}
    names = batch_axis((X, TABLE), inputs, 2)
    assert names == ("x",)
    pieces = list(chunks(inputs, names, 2))
    assert [size for size, _ in pieces] == [2, 2, 1]
    assert torch.equal(torch.cat([piece["x"] for _, piece in pieces]), inputs["x"])
    assert all(piece["table"] is inputs["table"] for _, piece in pieces)


def test_unequal_numbers_of_samples_cannot_be_cut():
    inputs = {"x": torch.zeros(5, 3), "ids": torch.zeros(4, 4)}
    with pytest.raises(UsageError, match="x has 5, ids has 4"):
        batch_axis((X, IDS), inputs, 2)


def test_without_a_free_axis_nothing_can_be_cut():
    with pytest.raises(UsageError, match="no input has a free first axis"):
        batch_axis((TABLE,), {"table": torch.zeros(5, 2)}, 2)
