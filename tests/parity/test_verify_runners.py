"""Faults are found and named; a healthy file passes."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from bnexport.errors import ParityFailure, UsageError
from bnexport.events import Event
from bnexport.inputs import Examples, InputSpec
from bnexport.parity import (
    Arrays,
    OnnxReference,
    OnnxRunner,
    Parity,
    Reference,
    Skipped,
    TorchRunner,
    reference_for,
    verify_runners,
)
from bnexport.signature import Plain

Build = Callable[..., bytes]
NAMES = ("logits", "features")


class Scripted:
    """A runtime that gives what it is told to."""

    name, version, device, precision = "Scripted", "1", "cpu", "float32"

    def __init__(self, run: Callable[[Arrays], Arrays]) -> None:
        self.run = run

    def __enter__(self) -> Scripted:
        return self

    def __exit__(self, *_: object) -> None:
        pass


def tampered(net: Plain, change: Callable[[Arrays], Arrays]) -> Scripted:
    """The network in PyTorch, with ``change`` between it and the judge."""
    inner = TorchRunner(net)
    return Scripted(lambda inputs: change(inner.run(inputs)))


def verify(net: Plain, runners: Sequence[object], examples: Examples, **options: object) -> Parity:
    options.setdefault("output_names", NAMES)
    return verify_runners(reference_for(net, examples.batch(2)), runners, examples, **options)


def details(parity: Parity) -> str:
    return "\n".join(f"{c.runtime} {c.kind} {c.output}: {c.detail}" for c in parity.failures)


def test_a_healthy_file_passes_every_kind_of_check(
    net: Plain, onnx_of: Build, examples: Examples
) -> None:
    parity = verify(net, [OnnxRunner(onnx_of(), outputs=NAMES)], examples)
    assert parity.ok, details(parity)
    kinds = {(c.runtime.split()[0], c.kind, c.batch, c.output, c.inputs) for c in parity.checks}
    usual = 2 * 2 * (2 + 3)  # runtimes, outputs, checks
    assert len(kinds) == len(parity.checks) == usual + 2 * 7  # outputs, other inputs


def test_the_reference_is_float64(net: Plain, onnx_of: Build, examples: Examples) -> None:
    parity = verify(net, [OnnxRunner(onnx_of())], examples)
    assert parity.reference.endswith("eval mode, float64")


def test_nothing_of_the_caller_changes(net: Plain, onnx_of: Build, examples: Examples) -> None:
    state = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    draws = torch.get_rng_state()
    verify(net, [OnnxRunner(onnx_of())], examples)
    assert torch.equal(draws, torch.get_rng_state())
    assert torch.is_grad_enabled()
    for name, tensor in net.state_dict().items():
        assert tensor.dtype == state[name].dtype
        assert torch.equal(tensor, state[name])


def bump(array: np.ndarray) -> np.ndarray:
    changed = array.copy()
    changed.flat[7] += 1e-3
    return changed


FAULTS = {
    "one weight": {"w": bump},
    "running_var one percent off": {"v": lambda v: v * 1.01},
    "running_mean of one channel": {"m": lambda m: m + 1e-2 * np.eye(4)[2]},
    "bias lost": {"b": np.zeros_like},
    "epsilon": {"replace": ("epsilon=1e-5", "epsilon=1e-3")},
    "weight transposed": {"w": lambda w: w.swapaxes(2, 3)},
    "half precision weights": {"w": lambda w: w.astype(np.float16)},
}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_a_wrong_file_fails_to_agree(
    net: Plain, onnx_of: Build, examples: Examples, fault: dict[str, object]
) -> None:
    parity = verify(net, [OnnxRunner(onnx_of(**fault))], examples)
    found = {(c.runtime.split()[0], c.kind, c.batch) for c in parity.failures}
    assert found == {("ONNX", "agreement", 1), ("ONNX", "agreement", 8)}, details(parity)


TAMPERED = {
    "swapped outputs": (lambda out: (out[1], out[0]), "shape (1, 4) against (1, 5)"),
    "transposed": (lambda out: (out[0].T, out[1]), "shape (5, 1) against (1, 5)"),
    "squeezed at batch 1": (lambda out: (out[0].squeeze(), out[1]), "shape (5,) against (1, 5)"),
    "missing": (lambda out: out[:1], "1 outputs, the reference has 2 (logits, features)"),
    "extra": (lambda out: (*out, out[0]), "3 outputs, the reference has 2"),
    "none": (lambda out: (), "0 outputs, the reference has 2"),
    "float64": (lambda out: (out[0].astype(np.float64), out[1]), "dtype float64 against float32"),
    "integers": (lambda out: (out[0].astype(np.int64), out[1]), "dtype int64 against float32"),
}


@pytest.mark.parametrize(("change", "detail"), TAMPERED.values(), ids=TAMPERED)
def test_other_outputs_are_named(
    net: Plain, examples: Examples, change: Callable[[Arrays], Arrays], detail: str
) -> None:
    parity = verify(net, [tampered(net, change)], examples)
    assert detail in parity.failures[0].detail
    assert not any(np.isfinite(c.relative) for c in parity.failures if c.output == "logits")


def test_one_broken_element_cannot_hide_in_the_norm(examples: Examples) -> None:
    net = Plain(nn.ZeroPad2d(100), ["input"]).eval()

    def change(out: Arrays) -> Arrays:
        out[0][0, 0, 104, 104] += 2e-5
        return out

    parity = verify(net, [tampered(net, change)], examples, output_names=["y"])
    check = parity.failures[0]
    assert check.worst == (0, 0, 104, 104)
    assert check.peak > check.peak_limit


def not_finite(value: float, at_batch: int) -> Callable[[Arrays], Arrays]:
    def change(out: Arrays) -> Arrays:
        if len(out[0]) == at_batch:
            out[0][-1, 3] = value
        return out

    return change


def test_nan_at_batch_n_alone_is_found(net: Plain, examples: Examples) -> None:
    parity = verify(net, [tampered(net, not_finite(np.nan, 8))], examples)
    agreement = [c for c in parity.failures if c.kind == "agreement"]
    assert [c.batch for c in agreement] == [8]
    assert agreement[0].detail == "Scripted has NaN at [7, 3] of output 'logits'"


def test_infinity_is_no_agreement(net: Plain, examples: Examples) -> None:
    parity = verify(net, [tampered(net, not_finite(np.inf, 1))], examples, atol=1e30)
    assert "has Inf at [0, 3]" in details(parity)


def test_nan_on_both_sides_is_a_failure(examples: Examples) -> None:
    class Broken(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x.mean((2, 3)).log() * 0

    net = Plain(Broken(), ["x"]).eval()
    parity = verify(net, [TorchRunner(net)], examples, output_names=["y"])
    assert "PyTorch and the reference both have NaN" in details(parity)


class BatchStatistics(nn.Module):
    """What a BatchNorm without running statistics leaves behind."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (x - x.mean((0, 2, 3), keepdim=True)).mean((2, 3))


def test_batch_statistics_that_everyone_agrees_on_are_found(examples: Examples) -> None:
    net = Plain(BatchStatistics(), ["x"]).eval()
    parity = verify(net, [TorchRunner(net)], examples, output_names=["y"])
    assert {c.kind for c in parity.failures} == {"alone", "neighbours"}
    assert all("something computes over the batch" in c.detail for c in parity.failures)


def test_batch_statistics_in_the_file_alone_blame_the_file(
    net: Plain, onnx_of: Build, examples: Examples
) -> None:
    mean = "features = ReduceMean <keepdims=0> (r, axes)"
    centred = """
        zero = Constant <value_ints=[0]> ()
        across = ReduceMean (r, zero)
        centred = Sub (r, across)
        features = ReduceMean <keepdims=0> (centred, axes)"""
    parity = verify(net, [OnnxRunner(onnx_of((mean, centred)))], examples)
    assert {c.kind for c in parity.failures} == {"agreement", "alone", "neighbours"}
    assert {c.runtime.split()[0] for c in parity.failures} == {"ONNX"}


def test_a_neighbour_that_leaks_in_a_batch_of_two_is_found(examples: Examples) -> None:
    class Leak(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return (x + 1e-4 * x.roll(1, 0)).mean((2, 3))

    net = Plain(Leak(), ["x"]).eval()
    runners = [TorchRunner(net)]
    parity = verify(net, runners, examples, output_names=["y"], batches=(2,))
    assert {c.kind for c in parity.failures} == {"alone", "neighbours"}


def test_real_samples_that_repeat_still_get_other_neighbours() -> None:
    data = (np.random.default_rng(0).standard_normal((1, 3, 8, 8)).astype(np.float32),)
    examples = Examples((InputSpec("x", (None, 3, 8, 8)),), data)
    net = Plain(BatchStatistics(), ["x"]).eval()
    parity = verify(net, [TorchRunner(net)], examples, output_names=["y"])
    assert not parity.ok


def test_time_before_batch_is_understood() -> None:
    class TimeFirst(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x.transpose(0, 1).cumsum(0)

    net = Plain(TimeFirst(), ["x"]).eval()
    examples = Examples((InputSpec("x", (None, 6, 4)),))
    parity = verify(net, [TorchRunner(net)], examples, output_names=["y"])
    assert parity.ok, details(parity)
    assert not any(c.detail for c in parity.checks)


class Loss(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.abs().mean()


def test_an_output_without_a_batch_axis_may_not_follow_the_samples(examples: Examples) -> None:
    net = Plain(Loss(), ["x"]).eval()
    parity = verify(net, [TorchRunner(net)], examples, output_names=["y"])
    assert {c.kind for c in parity.failures} == {"alone", "neighbours"}
    assert "no batch axis and follows the samples" in details(parity)


def test_an_output_that_is_the_same_for_all_passes(examples: Examples) -> None:
    class Anchors(nn.Module):
        def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            return x.mean((2, 3)), torch.arange(12.0).reshape(3, 4)

    net = Plain(Anchors(), ["x"]).eval()
    parity = verify(net, [TorchRunner(net)], examples, output_names=["y", "anchors"])
    assert parity.ok, details(parity)


def test_what_mixes_on_purpose_is_said_to(examples: Examples) -> None:
    net = Plain(Loss(), ["x"]).eval()
    parity = verify(net, [TorchRunner(net)], examples, output_names=["y"], mixes_batch=True)
    assert parity.ok, details(parity)
    assert parity.mixes_batch
    assert [each.runtime for each in parity.skipped] == ["batch invariance"]


def test_a_batch_of_one_that_loses_its_axis_is_named(examples: Examples) -> None:
    class Squeezed(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x.mean((2, 3)).squeeze()

    net = Plain(Squeezed(), ["x"]).eval()
    parity = verify(net, [TorchRunner(net)], examples, output_names=["y"])
    assert "a batch of one loses its axis ((3,) at batch 1, (8, 3) at batch 8)" in details(parity)


def test_a_sample_that_depends_on_its_place_is_found(examples: Examples) -> None:
    class Placed(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            weight = torch.ones(len(x), dtype=x.dtype)
            weight[1:] += 1e-3
            return x.mean((2, 3)) * weight[:, None]

    net = Plain(Placed(), ["x"]).eval()
    parity = verify(net, [TorchRunner(net)], examples, output_names=["y"])
    assert "moved" in {c.kind for c in parity.failures}


def test_the_operator_that_mixes_is_named(net: Plain, onnx_of: Build, examples: Examples) -> None:
    centred = """
        zero = Constant <value_ints=[0]> ()
        across = ReduceMean (r, zero)
        q = Sub (r, across)"""
    file = onnx_of(("features = ReduceMean <keepdims=0> (r, axes)", centred + MEAN_OF_Q))
    parity = verify(net, [OnnxRunner(file)], examples)
    moved = [c for c in parity.failures if c.kind != "agreement"]
    assert moved
    assert all(
        "ReduceMean in value 'across' reduces over the batch axis" in c.detail for c in moved
    )


def test_an_operator_that_mixes_too_little_to_move_anything_fails(
    net: Plain, onnx_of: Build, examples: Examples
) -> None:
    hidden = """
        zero = Constant <value_ints=[0]> ()
        nothing = Constant <value_float=0.0> ()
        across = ReduceMean (r, zero)
        gone = Mul (across, nothing)
        q = Sub (r, gone)"""
    file = onnx_of(("features = ReduceMean <keepdims=0> (r, axes)", hidden + MEAN_OF_Q))
    parity = verify(net, [OnnxRunner(file)], examples)
    assert [c.kind for c in parity.failures] == ["graph"]


MEAN_OF_Q = " features = ReduceMean <keepdims=0> (q, axes)"


def test_random_numbers_in_the_model_are_found(examples: Examples) -> None:
    class Live(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return nn.functional.dropout(x, 0.5, training=True)

    net = Plain(Live(), ["x"]).eval()
    parity = verify(net, [TorchRunner(net)], examples, output_names=["y"])
    assert "two runs of the same input differ" in details(parity)


def test_a_little_noise_in_every_run_is_found(examples: Examples) -> None:
    class Noisy(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x + 0.01 * torch.randn_like(x)

    net = Plain(Noisy(), ["x"]).eval()
    parity = verify(net, [TorchRunner(net)], examples, output_names=["y"])
    assert "two runs of the same input differ" in details(parity)


def test_sums_in_another_order_are_no_randomness(net: Plain, examples: Examples) -> None:
    inner, draw = TorchRunner(net), np.random.default_rng(0)

    def run(inputs: Arrays) -> Arrays:
        ulp = np.float32(2.0**-23)
        return tuple(a * (1 + ulp * draw.choice([-1, 0, 1], a.shape)) for a in inner.run(inputs))

    shaky = Scripted(lambda inputs: tuple(a.astype(np.float32) for a in run(inputs)))
    truth = TorchRunner(net, dtype=torch.float64)
    reference = Reference(truth, shaky, shaky, "float64")
    parity = verify_runners(reference, [shaky], examples, output_names=NAMES)
    assert parity.ok, details(parity)


def test_a_runtime_that_cannot_run_a_batch_fails_there(
    net: Plain, onnx_of: Build, examples: Examples
) -> None:
    fixed = onnx.load_from_string(onnx_of())
    fixed.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 1
    parity = verify(net, [OnnxRunner(fixed.SerializeToString())], examples)
    assert [(c.batch, c.output) for c in parity.failures] == [(8, "all outputs")]
    assert "input 'x' takes a batch of 1 alone" in parity.failures[0].detail


def test_a_file_that_cannot_be_opened_fails(net: Plain, examples: Examples) -> None:
    parity = verify(net, [OnnxRunner(b"no model")], examples)
    assert [c.passed for c in parity.checks].count(False) == 1
    assert parity.failures[0].runtime.startswith("ONNX Runtime")


def test_outputs_with_other_names_fail(net: Plain, onnx_of: Build, examples: Examples) -> None:
    runner = OnnxRunner(onnx_of(), outputs=("features", "logits"))
    parity = verify(net, [runner], examples)
    assert "its outputs are logits, features" in details(parity)


@pytest.mark.parametrize("batches", [(), (0,), (1, -2)])
def test_batches_that_compare_nothing_are_refused(
    net: Plain, onnx_of: Build, examples: Examples, batches: tuple[int, ...]
) -> None:
    with pytest.raises(UsageError):
        verify(net, [OnnxRunner(onnx_of())], examples, batches=batches)


def test_no_runtime_is_a_failure_that_says_what_was_skipped(net: Plain, examples: Examples) -> None:
    skipped = [Skipped("TensorRT", "built for sm_89, not executed: no CUDA device")]
    with pytest.raises(ParityFailure, match="nothing to compare: TensorRT: built for sm_89"):
        verify(net, [], examples, skipped=skipped)


def test_empty_outputs_are_a_failure(examples: Examples) -> None:
    class Empty(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x[:, :0]

    net = Plain(Empty(), ["x"]).eval()
    parity = verify(net, [TorchRunner(net)], examples, output_names=["y"])
    assert not parity.ok
    assert "nothing to compare" in details(parity)


def test_tolerances_replace_the_yardstick(net: Plain, onnx_of: Build, examples: Examples) -> None:
    file = onnx_of(v=lambda v: v * 1.01)
    assert not verify(net, [OnnxRunner(file)], examples).ok
    loose = verify(net, [OnnxRunner(file)], examples, atol=1e-2)
    assert loose.ok
    assert loose.multiple is None
    tight = verify(net, [OnnxRunner(file)], examples, atol=1e-6, rtol=1e-6)
    assert "times the tolerance that was given" in details(tight)
    assert {c.limit for c in tight.checks if c.kind == "agreement"} == {1.0}


def test_tolerances_of_zero_ask_for_equality(net: Plain, examples: Examples) -> None:
    parity = verify(net, [tampered(net, lambda out: out)], examples, atol=0.0)
    agreement = [c for c in parity.failures if c.kind == "agreement"]
    assert {c.runtime for c in agreement} == {"Scripted 1 (cpu)"}


@pytest.mark.parametrize("tolerance", [-1e-3, float("nan")])
def test_impossible_tolerances_are_refused(
    net: Plain, examples: Examples, tolerance: float
) -> None:
    with pytest.raises(UsageError, match="finite and not negative"):
        verify(net, [tampered(net, lambda out: out)], examples, rtol=tolerance)


class Labels(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.flatten(1).argmax(1)


def test_integers_must_be_equal(examples: Examples) -> None:
    net = Plain(Labels(), ["x"]).eval()
    names = {"output_names": ["label"]}
    assert verify(net, [TorchRunner(net)], examples, **names).ok
    shifted = tampered(net, lambda out: (out[0] + 1,))
    parity = verify(net, [shifted], examples, **names)
    assert "1.0e+00 of the elements differ, rounding explains none" in details(parity)


def test_one_flipped_label_in_a_small_output_is_a_failure(examples: Examples) -> None:
    def change(out: Arrays) -> Arrays:
        out[0][-1] += len(out[0]) == 8
        return out

    net = Plain(Labels(), ["x"]).eval()
    assert not verify(net, [tampered(net, change)], examples, output_names=["label"]).ok


def test_float32_far_from_float64_is_said(examples: Examples) -> None:
    class Cancelling(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return (x + 1e6) - 1e6

    net = Plain(Cancelling(), ["x"]).eval()
    parity = verify(net, [TorchRunner(net)], examples, output_names=["y"])
    own = parity.checks[0]
    assert own.passed
    assert "no runtime can be judged closely" in own.detail


def test_a_hopeless_yardstick_does_not_excuse_anything(examples: Examples) -> None:
    class Lost(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return (x + 1e8) - 1e8

    net = Plain(Lost(), ["x"]).eval()
    zeros = tampered(net, lambda out: (0 * out[0],))
    parity = verify(net, [zeros], examples, output_names=["y"])
    assert any(c.runtime.startswith("Scripted") for c in parity.failures)


def test_an_output_of_zeros_is_held_against_an_absolute_floor(examples: Examples) -> None:
    class Zero(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x.clamp(max=0).relu()

    net = Plain(Zero(), ["x"]).eval()
    assert verify(net, [TorchRunner(net)], examples, output_names=["y"]).ok
    small = tampered(net, lambda out: (out[0] + np.float32(1e-4),))
    assert not verify(net, [small], examples, output_names=["y"]).ok


def test_a_model_that_cannot_run_in_float64_is_held_against_float32(examples: Examples) -> None:
    class HardCast(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(3, 4)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.fc(x.mean((2, 3)).float())

    net = Plain(HardCast(), ["x"]).eval()
    parity = verify(net, [TorchRunner(net)], examples, output_names=["y"])
    assert parity.ok, details(parity)
    assert "float32 (in float64 it fails: " in parity.reference
    wrong = tampered(net, lambda out: (out[0] * np.float32(1.0001),))
    assert not verify(net, [wrong], examples, output_names=["y"]).ok


def test_a_float16_runtime_gets_the_yardstick_of_float16(net: Plain, examples: Examples) -> None:
    runner = tampered(net, lambda out: tuple(a.astype(np.float16) for a in out))
    assert not verify(net, [runner], examples).ok
    runner.precision = "float16"
    assert verify(net, [runner], examples).ok


def test_inputs_without_a_batch_axis_are_run_once(onnx_of: Build) -> None:
    net = Plain(nn.Conv1d(3, 4, 3), ["input"]).eval()
    examples = Examples((InputSpec("input", (2, 3, 9)),))
    parity = verify(net, [TorchRunner(net)], examples, output_names=["y"])
    assert parity.ok
    assert parity.batches == (1,)
    assert parity.skipped == (
        Skipped("batch invariance", "no input has a batch axis: every size is fixed"),
    )


def test_batch_one_alone_says_that_invariance_was_not_seen(net: Plain, examples: Examples) -> None:
    parity = verify(net, [TorchRunner(net)], examples, batches=(1,))
    assert [s.reason for s in parity.skipped] == ["only batch 1 was run"]


def test_invariance_can_be_left_out(net: Plain, examples: Examples) -> None:
    parity = verify(net, [TorchRunner(net)], examples, mixes_batch=True)
    assert {c.kind for c in parity.checks} == {"agreement"}


def test_progress_ends_at_one(net: Plain, examples: Examples) -> None:
    seen: list[Event] = []
    verify(net, [TorchRunner(net)], examples, observe=seen.append)
    assert [event.stage for event in seen] == ["verify"] * 3
    assert seen[-1].fraction == 1.0


def test_an_onnx_file_is_held_against_itself_as_given(onnx_of: Build, examples: Examples) -> None:
    given = OnnxReference(onnx_of())
    good = verify_runners(given, [OnnxRunner(onnx_of())], examples, output_names=NAMES)
    assert good.ok, details(good)
    assert "as given" in good.reference
    bad = OnnxRunner(onnx_of(v=lambda v: v * 1.01))
    assert not verify_runners(given, [bad], examples, output_names=NAMES).ok


def test_a_runtime_of_one_batch_by_choice_is_run_at_that_alone(
    net: Plain, examples: Examples
) -> None:
    seen = []

    def note(inputs: Arrays) -> Arrays:
        seen.append(len(inputs[0]))
        return TorchRunner(net).run(inputs)

    runner = Scripted(note)
    runner.fixed_batch = 1
    parity = verify(net, [runner], examples, batches=(1, 4))
    assert parity.ok, details(parity)
    assert set(seen) == {1}
    assert {c.batch for c in parity.checks if c.runtime.startswith("Scripted")} == {1}


def test_a_runtime_of_a_batch_that_was_not_asked_for_is_run_at_those_that_were(
    net: Plain, examples: Examples
) -> None:
    runner = tampered(net, lambda outputs: outputs)
    runner.fixed_batch = 16
    parity = verify(net, [runner], examples, batches=(1, 4))
    assert {c.batch for c in parity.checks if c.runtime.startswith("Scripted")} == {1, 4}
