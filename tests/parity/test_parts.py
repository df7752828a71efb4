"""A channel that is wrong is seen beside larger ones, and judged only where its rounding is known."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
import torch
from torch import Tensor, nn

import bnexport
from bnexport.parity.judge import Subject, judge
from bnexport.parity.parts import MOST, Parts
from bnexport.parity.yardstick import MULTIPLE, Tally
from bnexport.report.document import parity_json
from bnexport.report.rejudge import Multiple, rejudged

DRAW = np.random.default_rng(0)
SCALES = np.array([300.0, 300.0, 0.01, 0.01])
TRUTH = DRAW.standard_normal((4, 4, 100)) * SCALES[:, None]
SUBJECT = Subject("r", "float32", 4, "agreement", "y", ("a", "b"))


def yardstick(truth: np.ndarray, noise: float = 1e-6):
    tally = Tally()
    for _ in range(3):
        tally.add(truth * (1 + noise * DRAW.standard_normal(truth.shape)), truth)
    return tally.yardstick("float32")


def off(truth: np.ndarray, share: float, place: object) -> np.ndarray:
    wrong = truth.copy()
    wrong[place] *= 1 + share
    return wrong


@pytest.mark.parametrize(("axes", "name"), [((0, 1, 2), "[:, 3]"), ((0, 2, 1), "[..., 3]")])
def test_a_small_channel_beside_large_ones_is_judged_by_its_own_rounding(axes, name):
    truth = TRUTH.transpose(axes)
    place = (slice(None), 3) if name == "[:, 3]" else (..., 3)
    check = judge(SUBJECT, off(truth, 1e-4, place), truth, yardstick(truth))
    assert not check.passed
    assert check.part == name
    assert check.detail.startswith(f"off by 1.0e-04 in {name}, ")
    assert check.relative < check.limit
    assert check.peak < check.peak_limit
    assert check.ratio == pytest.approx(check.part_relative / check.part_limit)
    assert check.part_limit == pytest.approx(MULTIPLE * 1e-6, rel=0.2)


def test_rounding_of_every_channel_passes():
    check = judge(SUBJECT, TRUTH * (1 + 2e-6), TRUTH, yardstick(TRUTH))
    assert check.passed
    assert check.part


@pytest.mark.parametrize(("elements", "luck"), [(100, 1), (10, 64 / 10), (1, 64)])
def test_of_a_channel_that_rounding_hardly_reaches_more_is_allowed(elements, luck):
    truth = DRAW.standard_normal((1, 4, 100)) * SCALES[:, None]
    truth[:, 2, elements:] = 0.0
    tally = Tally()
    tally.add(truth * (1 + 1e-5), truth)
    found = tally.yardstick("float32")
    for share, passed in ((0.9, True), (1.1, False)):
        wrong = off(truth, share * luck * MULTIPLE * 1e-5, (slice(None), 2))
        assert judge(SUBJECT, wrong, truth, found).passed == passed


def test_a_channel_that_is_all_rounding_is_not_judged_alone():
    truth = TRUTH.copy()
    truth[:, 2] = 1e-12  # a ReLU that rounding opens and closes
    tally = Tally()
    own = truth.copy()
    own[:, 2] = 0.0
    tally.add(own * (1 + 1e-6), truth)
    wrong = truth.copy()
    wrong[:, 2] = 1e-9
    assert judge(SUBJECT, wrong, truth, tally.yardstick("float32")).passed


def test_a_channel_of_zeros_is_not_judged_alone():
    truth = TRUTH.copy()
    truth[:, 2] = 0.0
    wrong = truth.copy()
    wrong[:, 2, 0] = 1e-7
    assert judge(SUBJECT, wrong, truth, yardstick(truth)).passed


@pytest.mark.parametrize(
    ("shape", "axes"),
    [
        ((8,), []),
        ((8, 1), []),
        ((8, 10), [1]),
        ((8, 20, 3), [1, 2]),
        ((8, 1, 40), [2]),
        ((8, MOST + 1, 2), [2]),
        ((2, 10, 20, 1), [1]),
        ((2, 3, 20, 20), [1, 3]),
    ],
)
def test_channels_lie_along_the_second_axis_and_the_last(shape, axes):
    assert [part.axis for part in Parts.of(np.ones(shape))] == axes


def test_integers_and_complex_numbers_have_none():
    assert not Parts.of(np.ones((2, 4, 100), np.int64))
    assert not Parts.of(np.ones((2, 4, 100), np.complex64))


def test_another_shape_at_another_batch_is_not_pooled():
    tally = Tally()
    for width in (3, 4):
        truth = TRUTH[:, :width]
        tally.add(truth * (1 + 1e-6), truth)
    check = judge(SUBJECT, off(TRUTH, 1e-4, (slice(None), 3)), TRUTH, tally.yardstick("float32"))
    assert not check.part.startswith("[:, ")


class Detector(nn.Module):
    """Boxes in pixels and small scores, in one tensor."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.stem = nn.Sequential(nn.Conv2d(3, 16, 3, 2, 1), nn.BatchNorm2d(16), nn.SiLU())
        self.box = nn.Conv2d(16, 4, 1)
        self.scores = nn.Conv2d(16, 20, 1)

    def forward(self, x: Tensor) -> Tensor:
        features = self.stem(x)
        boxes, scores = self.box(features).sigmoid() * 640, self.scores(features).sigmoid() * 0.01
        return torch.cat([boxes.flatten(2), scores.flatten(2)], 1)


@pytest.fixture(scope="module")
def off_by_a_filter(tmp_path_factory):
    net, inputs = Detector().eval(), ["Nx3x32x32"]
    path = bnexport.convert(net, tmp_path_factory.mktemp("m") / "m.onnx", inputs=inputs).path
    model = onnx.load(path)
    weight = next(each for each in model.graph.initializer if each.name == "scores.weight")
    value = onnx.numpy_helper.to_array(weight).copy()
    value[7] *= 1.001
    weight.CopyFrom(onnx.numpy_helper.from_array(value, weight.name))
    onnx.save(model, path)
    return bnexport.verify(net, path, inputs=inputs)


def test_a_filter_of_a_detectors_scores_is_seen(off_by_a_filter):
    failures = off_by_a_filter.failures
    assert failures
    assert {check.part for check in failures} == {"[:, 11]"}
    assert all(check.relative < check.limit for check in failures)


def test_a_report_of_it_can_be_judged_anew(off_by_a_filter):
    report = {"parity": parity_json(off_by_a_filter), "ok": False}
    worst = max(check.ratio for check in off_by_a_filter.failures)
    assert not rejudged(report, Multiple(MULTIPLE * worst * 0.9))["ok"]
    assert rejudged(report, Multiple(MULTIPLE * worst * 1.1))["ok"]
