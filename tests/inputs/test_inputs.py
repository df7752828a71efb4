"""Inputs as typed, as stored, as drawn, and as inferred."""

import numpy as np
import onnx_ir as ir
import pytest
import torch
from torch import nn

from bnexport.errors import Refused, UsageError
from bnexport.inputs import Examples, InputSpec, complete, infer, parse_input, read_inputs
from bnexport.inputs.graph import examples_of


class Two(nn.Module):
    """An image and token numbers; a third input with a default."""

    def __init__(self):
        super().__init__()
        self.head = nn.Linear(4, 3)
        self.conv = nn.Conv2d(3, 4, 3)
        self.words = nn.Embedding(9, 4)
        self.types = nn.Embedding(5, 4)

    def forward(self, image, ids, scale=None):
        return self.head(self.conv(image).mean((2, 3)) + self.types(ids).mean(1))


TYPED = {
    "Nx3x224x224": InputSpec("", (None, 3, 224, 224), ""),
    "x:nX3,8\u00d78": InputSpec("x", (None, 3, 8, 8), ""),
    "ids:Nx16:i64": InputSpec("ids", (None, 16), "int64"),
    "Nx4:f16": InputSpec("", (None, 4), "float16"),
    "Nx4:torch.bfloat16": InputSpec("", (None, 4), "bfloat16"),
    "N": InputSpec("", (None,), ""),
    "N:int64": InputSpec("", (None,), "int64"),
    "n:N": InputSpec("n", (None,), ""),
    "table:10x4": InputSpec("table", (10, 4), ""),
}


@pytest.mark.parametrize(("text", "spec"), TYPED.items(), ids=TYPED)
def test_parse(text, spec):
    assert parse_input(text) == spec


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
def test_a_dtype_that_is_not_said_is_the_modules_own(dtype):
    said, unsaid = complete([parse_input("Nx3x8x8:f32"), parse_input("Nx7")], Two().to(dtype))
    assert said.dtype == "float32"
    assert unsaid.dtype == str(dtype).removeprefix("torch.")


def test_or_the_one_that_a_graph_declares():
    kinds = {"ids": ir.DataType.INT64, "x": ir.DataType.FLOAT16}
    values = [
        ir.Value(name=n, type=ir.TensorType(t), shape=ir.Shape(["N", "L"]))
        for n, t in kinds.items()
    ]
    model = ir.Model(ir.Graph(values, [], nodes=[], opset_imports={"": 20}), ir_version=10)
    found = examples_of(model, [parse_input("Nx16"), parse_input("x:Nx4:f32")])
    assert [spec.dtype for spec in found.specs] == ["int64", "float32"]


@pytest.mark.parametrize("text", [each for each in TYPED if "8" not in each])
def test_a_spec_prints_as_it_is_typed(text):
    assert parse_input(str(parse_input(text))) == parse_input(text)


WRONG = [
    "",
    "x",
    "x:float32",
    "NxHxW",
    "3xN",
    "Nx0",
    "a:b:N",
    "Nx3:float3",
    "a.b:Nx3",
    "Nx-1",
    "Nx",
]


@pytest.mark.parametrize("text", WRONG)
def test_a_wrong_form_is_met_with_the_right_one(text):
    with pytest.raises(UsageError, match=r"x:Nx3x224x224"):
        parse_input(text)


def completed(*texts, module=None):
    return [str(each) for each in complete([parse_input(t) for t in texts], module or Two())]


def test_unnamed_inputs_take_the_parameters_in_order():
    assert completed("Nx3x8x8", "Nx7:int64") == ["image:Nx3x8x8", "ids:Nx7:int64"]


def test_named_inputs_are_put_in_the_order_of_forward():
    assert completed("ids:Nx7:i64", "Nx3x8x8") == ["image:Nx3x8x8", "ids:Nx7:int64"]


def test_an_optional_parameter_may_be_given():
    texts = completed("Nx3x8x8", "Nx7:i64", "scale:N")
    assert texts[2] == "scale:N"


def test_integers_stay_below_the_smallest_embedding():
    specs = complete([parse_input("Nx3x8x8"), parse_input("Nx7:i64")], Two())
    assert [each.high for each in specs] == [None, 5]


@pytest.mark.parametrize(
    ("texts", "said"),
    [
        (["Nx3x8x8"], "no example for input ids"),
        (["Nx3", "Nx3", "Nx3", "Nx3"], "too many inputs: 4 given"),
        (["foo:Nx3", "Nx3"], "'foo': forward takes image, ids, scale"),
        (["ids:Nx3", "ids:Nx3"], "'ids': it is given twice"),
        (["2x3", "2x3"], "no batch axis"),
    ],
)
def test_inputs_that_do_not_fit_forward(texts, said):
    with pytest.raises(UsageError, match=said):
        completed(*texts)


def test_variadic_scripted_and_wrapped_forwards_have_names_too():
    class Variadic(nn.Module):
        def forward(self, *tensors):
            return sum(tensors)

    assert completed("Nx3", "Nx3", module=Variadic()) == ["x:Nx3", "x_1:Nx3"]
    traced = torch.jit.trace(nn.Linear(3, 2), torch.ones(1, 3))
    assert completed("Nx3", module=traced) == ["input:Nx3"]
    assert completed("Nx3", module=nn.DataParallel(nn.Linear(3, 2))) == ["input:Nx3"]


KINDS = ["float32", "float16", "bfloat16", "float64", "int64", "uint8", "bool", "complex64"]


@pytest.mark.parametrize("dtype", KINDS)
def test_a_batch_is_repeatable_a_prefix_of_larger_ones_and_new_for_another_seed(dtype):
    examples = Examples((InputSpec("x", (None, 3, 50), dtype),))
    state = torch.get_rng_state()
    (small,), (large,), (other,) = examples.batch(3), examples.batch(5), examples.batch(3, seed=1)
    assert small.dtype == getattr(torch, dtype)
    assert torch.equal(small, large[:3])
    assert not torch.equal(small, other)
    assert not torch.equal(small[0], small[1])
    assert torch.equal(torch.get_rng_state(), state)


def test_floats_are_standard_normal_and_the_same_in_every_precision():
    double, single = (
        Examples((InputSpec("x", (None, 5000), dtype),)).batch(2)[0]
        for dtype in ("float64", "float32")
    )
    assert torch.equal(double, single.double())
    assert abs(float(double.mean())) < 0.05
    assert abs(float(double.std()) - 1) < 0.05


def test_integers_use_their_whole_range_and_no_more():
    (ids,) = Examples((InputSpec("x", (None, 500), "int64", high=7),)).batch(2)
    assert sorted(ids.unique().tolist()) == list(range(7))


def test_two_inputs_of_one_shape_differ():
    a, b = Examples((InputSpec("a", (None, 4)), InputSpec("b", (None, 4)))).batch(2)
    assert not torch.equal(a, b)


def test_an_input_without_a_batch_axis_keeps_its_shape():
    table, n = Examples((InputSpec("t", (10, 4)), InputSpec("n", (None,)))).batch(3)
    assert (table.shape, n.shape) == ((10, 4), (3,))


def test_an_empty_batch_is_a_usage_error():
    with pytest.raises(UsageError):
        Examples((InputSpec("x", (None, 4)),)).batch(0)


def real(array):
    return Examples((InputSpec("x", (None, *array.shape[1:])),), (array,))


DATA = np.random.default_rng(0).standard_normal((3, 4)).astype(np.float32)


def test_real_samples_come_in_order():
    assert np.array_equal(real(DATA).batch(2)[0], DATA[:2])


def test_beyond_their_number_they_come_again_with_a_little_noise():
    (batch,) = real(DATA).batch(7)
    assert torch.equal(batch[:3], torch.tensor(DATA))
    assert len({tuple(row.tolist()) for row in batch}) == 7
    assert torch.allclose(batch[3:6], torch.tensor(DATA), rtol=0.5)


def test_another_seed_gives_other_samples_and_smaller_batches_stay_prefixes():
    (first,), (other,), (more,) = (real(DATA).batch(*each) for each in ((3, 0), (3, 1), (6, 1)))
    assert not any(torch.equal(a, b) for a in first for b in other)
    assert torch.equal(other, more[:3])


def test_repeated_integers_keep_to_values_of_the_data():
    data = np.array([[3, 1, 2], [7, 5, 9]])
    (batch,) = Examples((InputSpec("x", (None, 3), "int64"),), (data,)).batch(4, seed=2)
    assert set(batch.flatten().tolist()) <= {1, 2, 3, 5, 7, 9}


IMAGES = np.random.default_rng(1).standard_normal((4, 3, 8, 8))
IDS = np.random.default_rng(2).integers(0, 5, (4, 7))


def stored(path, **arrays):
    if path.suffix == ".pt":
        torch.save({name: torch.tensor(each) for name, each in arrays.items()}, path)
    else:
        np.savez(path, **arrays)
    return path


@pytest.mark.parametrize("suffix", [".npz", ".pt"])
def test_stored_samples_are_matched_by_name_and_take_the_models_dtype(tmp_path, suffix):
    path = stored(tmp_path / f"samples{suffix}", ids=IDS, image=IMAGES)
    examples = read_inputs(path, Two())
    assert [str(each) for each in examples.specs] == ["image:Nx3x8x8", "ids:Nx7:int64"]
    image, ids = examples.batch(4)
    assert torch.equal(image, torch.tensor(IMAGES).float())
    assert torch.equal(ids, torch.tensor(IDS))


def test_a_single_array_and_a_tuple_are_taken_in_order(tmp_path):
    np.save(tmp_path / "a.npy", IMAGES)
    torch.save((torch.tensor(IMAGES), torch.tensor(IDS)), tmp_path / "b.pt")
    assert read_inputs(tmp_path / "a.npy", nn.Conv2d(3, 4, 3)).specs[0].name == "input"
    assert [each.name for each in read_inputs(tmp_path / "b.pt", Two()).specs] == ["image", "ids"]


def test_bfloat16_samples_keep_their_values(tmp_path):
    x = torch.tensor(IMAGES).bfloat16()
    torch.save(x, tmp_path / "x.pt")
    (batch,) = read_inputs(tmp_path / "x.pt", nn.Conv2d(3, 4, 3).bfloat16()).batch(4)
    assert torch.equal(batch, x)


@pytest.mark.parametrize(
    ("arrays", "said"),
    [
        ({"image": IMAGES, "ids": IDS[:3]}, "numbers of samples differ: image has 4, ids has 3"),
        ({"image": IMAGES}, "no example for input ids"),
        ({"image": IMAGES, "ids": IDS, "labels": IDS}, "model takes image, ids, scale"),
        ({"image": IMAGES * np.nan, "ids": IDS}, "image holds NaN"),
        ({"image": IMAGES[:0], "ids": IDS[:0]}, "image is empty"),
        ({}, "it holds no array"),
    ],
)
def test_stored_samples_that_do_not_fit(tmp_path, arrays, said):
    with pytest.raises(UsageError, match=said):
        read_inputs(stored(tmp_path / "a.npz", **arrays), Two())


def test_a_missing_file_is_a_usage_error(tmp_path):
    with pytest.raises(UsageError, match="no such file"):
        read_inputs(tmp_path / "none.npz", Two())


def test_objects_and_other_files_are_refused(tmp_path):
    np.savez(tmp_path / "objects.npz", x=np.array([{}], dtype=object))
    torch.save(nn.Linear(2, 2), tmp_path / "module.pt")
    torch.save({"x": 3}, tmp_path / "number.pt")
    (tmp_path / "text.pt").write_text("hello")
    for name in ("objects.npz", "module.pt", "number.pt", "text.pt"):
        with pytest.raises(Refused, match=name):
            read_inputs(tmp_path / name, nn.Linear(2, 2))


def inferred(model, **more):
    return [str(each) for each in infer(model, **more).specs]


def lenet():
    return nn.Sequential(
        nn.Conv2d(1, 6, 5), nn.MaxPool2d(2), nn.Conv2d(6, 16, 5), nn.Flatten(), nn.Linear(1024, 2)
    )


class Reshaping(nn.Module):
    """Flattens by a fixed size: a wrong picture moves into the batch axis without an error."""

    def __init__(self):
        super().__init__()
        self.conv, self.head = nn.Conv2d(3, 4, 8, 8), nn.Linear(64, 2)

    def forward(self, x):
        return self.head(self.conv(x).view(-1, 64))


class Spectral(nn.Module):
    """Adds the channel axis itself."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv1d(1, 4, 9, 4)

    def forward(self, wave):
        _batch, _samples = wave.shape
        return self.conv(wave.unsqueeze(1)).mean(-1)


def pooled():
    return nn.Sequential(nn.Conv2d(3, 4, 3, 4), nn.AdaptiveAvgPool2d(1), nn.Flatten())


INFERRED = {
    "pooled": (pooled, ["input:Nx3x224x224"]),
    "fixed size": (lenet, ["input:Nx1x28x28"]),
    "reshaping": (Reshaping, ["x:Nx3x32x32"]),
    "half": (lambda: nn.Linear(7, 2).half(), ["input:Nx7:float16"]),
    "tokens": (lambda: nn.Embedding(9, 4), ["input:Nx16:int64"]),
    "audio": (lambda: nn.Conv1d(1, 4, 9), ["input:Nx1x16000"]),
    "features": (lambda: nn.Conv1d(80, 4, 9), ["input:Nx80x1024"]),
    "own channel axis": (Spectral, ["wave:Nx16000"]),
    "video": (lambda: nn.Conv3d(3, 2, 3, 2), ["input:Nx3x8x112x112"]),
    "recurrent": (lambda: nn.GRU(5, 3, batch_first=True), ["input:Nx16x5"]),
    "registered late": (lambda: Two(), ["image:Nx3x224x224", "ids:Nx16:int64"]),
    "traced": (lambda: torch.jit.trace(pooled(), torch.ones(1, 3, 9, 9)), ["input:Nx3x224x224"]),
    "wrapped": (lambda: nn.DataParallel(pooled()), ["input:Nx3x224x224"]),
    "synchronised": (
        lambda: nn.Sequential(pooled(), nn.SyncBatchNorm(4)).train(),
        ["input:Nx3x224x224"],
    ),
}


@pytest.mark.parametrize(("build", "specs"), INFERRED.values(), ids=INFERRED)
def test_infer(build, specs):
    assert inferred(build()) == specs


@pytest.mark.parametrize("holder", [dict, lambda **entries: type("Config", (), entries)()])
def test_timms_configuration_comes_first(holder):
    model = pooled()
    model.pretrained_cfg = holder(input_size=(3, 64, 48))
    examples = infer(model)
    assert str(examples.specs[0]) == "input:Nx3x64x48"
    assert "from its pretrained_cfg" in examples.assumed


def test_a_configuration_that_does_not_run_is_passed_over():
    model = pooled()
    model.default_cfg = {"input_size": (5, 64, 64)}
    assert inferred(model) == ["input:Nx3x224x224"]


def test_the_example_that_came_with_the_model_is_real_data():
    x = torch.randn(2, 3, 20, 24, generator=torch.Generator().manual_seed(0))
    examples = infer(pooled(), (x,))
    assert str(examples.specs[0]) == "input:Nx3x20x24"
    assert torch.equal(examples.batch(2)[0], x)


def test_what_was_assumed_is_one_sentence_with_the_flag():
    assert infer(pooled()).assumed == (
        "input input assumed float32 Nx3x224x224 (from the first layer); "
        "change it with --input input:Nx3xHxW"
    )


def test_a_model_that_does_not_say_is_a_usage_error_with_the_flag():
    class Raw(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.ones(3, 2))

        def forward(self, rows):
            return rows @ self.weight

    with pytest.raises(UsageError, match=r"--input rows:Nx3x224x224"):
        infer(Raw())


def test_inference_leaves_the_model_and_the_process_as_they_were():
    model = nn.Sequential(pooled(), nn.Dropout(0.5), nn.BatchNorm1d(4)).train()
    values = {key: value.clone() for key, value in model.state_dict().items()}
    state = torch.get_rng_state()
    infer(model)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.is_grad_enabled()
    assert all(each.training for each in model.modules())
    assert not any(each._forward_pre_hooks for each in model.modules())
    assert all(torch.equal(value, values[key]) for key, value in model.state_dict().items())
