import copy
import math
from dataclasses import replace

import numpy as np
import pytest
from hostile_report import nothing_compared, plain, verification
from sample_report import check, facts, failed_check, parity

from bnexport.errors import UsageError
from bnexport.parity import examine, yardstick
from bnexport.parity.judge import Subject, judge
from bnexport.parity.judge import Tolerances as Given
from bnexport.report import rejudge
from bnexport.report.rejudge import Multiple, NotRecorded, Tolerances, rejudged

SUBJECT = Subject("ONNX Runtime", "float32", 8, "agreement", "y", ("a", "b"))


def measured(a, b, tolerances=None, **changes):
    """A check as the verification makes it, of a model that rounds as float32 does."""
    noise = 3e-7 * float(np.sqrt(np.mean(np.square(b))))
    tool = yardstick.Yardstick(
        float(np.sqrt(np.mean(np.square(b)))), float(abs(b).max()), noise, 4 * noise, 0.0, "float32"
    )
    return replace(judge(SUBJECT, a, b, tool, tolerances), **changes)


def report(*checks, multiple=yardstick.MULTIPLE, **changes):
    return verification(replace(parity(*checks), multiple=multiple), **changes)


def arrays(seed, error):
    rng = np.random.default_rng(seed)
    b = rng.normal(size=(8, 10)).astype(np.float32)
    return b + (error * rng.normal(size=b.shape)).astype(np.float32), b


@pytest.mark.parametrize("name", ["CEILING", "NUDGES"])
def test_the_rules_of_the_yardstick_are_its_own(name):
    assert getattr(rejudge, name) == getattr(yardstick, name)
    assert rejudge.CAUSE == examine._CAUSE


@pytest.mark.parametrize("multiple", [2.0, 4.0, 8.0, 16.0, 100.0])
@pytest.mark.parametrize("error", [1e-7, 8e-7, 3e-6, 2e-5])
def test_another_multiple_gives_what_the_verification_would_have_given(
    monkeypatch, multiple, error
):
    a, b = arrays(7, error)
    recorded = report(measured(a, b))
    monkeypatch.setattr(yardstick, "MULTIPLE", multiple)
    expected = measured(a, b)
    (found,) = rejudged(recorded, Multiple(multiple))["parity"]["checks"]
    assert found["passed"] is expected.passed
    assert found["ratio"] == pytest.approx(expected.ratio, rel=1e-6)
    assert found["limit"] == pytest.approx(expected.limit, rel=1e-6)


@pytest.mark.parametrize(("atol", "rtol"), [(1e-5, 0.0), (1e-2, 0.0), (1e-2, 1e-2), (0.0, 1e-9)])
def test_tolerances_give_what_the_verification_would_have_given(atol, rtol):
    a, b = arrays(11, 1e-3)
    expected = measured(a, b, Given(atol, rtol))
    again = rejudged(report(measured(a, b)), Tolerances(atol, rtol))
    assert again["ok"] is expected.passed
    assert again["parity"]["multiple"] is None


def test_between_the_bounds_is_an_error():
    a, b = arrays(11, 1e-3)
    with pytest.raises(NotRecorded, match="1 of 1 checks cannot be judged") as caught:
        rejudged(report(measured(a, b)), Tolerances(0.0, 1e-2))
    assert "bnexport verify" in caught.value.remedy


@pytest.mark.parametrize(("factor", "ok"), [(0.5, False), (2.0, True)])
def test_tolerances_of_before_bound_the_new_ones(factor, ok):
    a, b = arrays(11, 1e-3)
    given = measured(a, b, Given(1e-4, 1e-3))
    old = {"atol": 1e-4 * given.ratio, "rtol": 1e-3 * given.ratio}
    recorded = report(measured(a, b, Given(**old)), multiple=None, options=old)
    new = Tolerances(factor * old["atol"], factor * old["rtol"])
    assert rejudged(recorded, new)["ok"] is ok


def test_a_multiple_of_what_tolerances_judged_is_an_error():
    with pytest.raises(NotRecorded, match="explicit tolerances"):
        rejudged(report(check(), multiple=None), Multiple(8.0))


def test_a_report_without_the_largest_error_is_not_enough():
    recorded = report(check(peak=1e-7, peak_limit=1e-6))
    del recorded["parity"]["checks"][0]["peak"]
    with pytest.raises(NotRecorded, match="peak"):
        rejudged(recorded, Multiple(16.0))


def test_a_limit_that_may_be_cut_off_decides_nothing():
    near = check(relative=0.05, limit=0.02, peak=0.01, peak_limit=0.02, ratio=2.5, passed=False)
    with pytest.raises(NotRecorded):
        rejudged(report(near), Multiple(100.0))


@pytest.mark.parametrize("rule", [Multiple(1e6), Tolerances(1e9)])
@pytest.mark.parametrize(
    "failure",
    [
        failed_check(),
        failed_check(kind="graph"),
        check(kind="alone", passed=False, ratio=9.0, detail="layer 'x': BatchNormalization mixes"),
    ],
)
def test_no_limit_acquits_what_is_no_matter_of_limits(rule, failure):
    again = rejudged(report(check(peak_limit=1e-6), failure), rule)
    assert again["ok"] is False
    assert again["parity"]["checks"][1] == report(failure)["parity"]["checks"][0]


def test_a_sample_that_moved_for_no_known_cause_is_judged():
    detail = f"sample 0 moved by 1e-3: {rejudge.CAUSE}"
    moved = check(kind="moved", passed=False, max_abs=1e-3, ratio=9.0, detail=detail)
    assert rejudged(report(moved), Tolerances(1e-2))["ok"] is True


def test_the_model_in_its_own_arithmetic_agrees_by_definition():
    own = check(runtime="PyTorch 2.13.0 (cpu)", ratio=3.0)
    again = rejudged(report(own), Tolerances(1e-6))
    assert again["ok"] is True
    assert again["parity"]["checks"][0]["ratio"] == pytest.approx(3.0)  # max_abs is 3e-6


def test_no_difference_passes_without_any_tolerance():
    exact = check(max_abs=0.0, relative=0.0, ratio=0.0, peak=0.0)
    assert rejudged(report(exact), Tolerances())["ok"] is True


@pytest.mark.parametrize(("scale", "decided"), [(0.5, True), (2.0, True), (1.0, True)])
def test_integers_that_are_all_equal_pass_by_any_multiple(scale, decided):
    same = check(max_abs=0.0, relative=0.0, limit=0.0, peak=0.0, peak_limit=0.0, ratio=0.0)
    assert rejudged(report(same), Multiple(8.0 * scale))["ok"] is decided


def test_integers_that_differ_by_more_than_before_allowed_fail_under_a_smaller_multiple():
    flipped = check(
        max_abs=1.0, relative=0.2, limit=0.1, peak=1.0, peak_limit=0.0, passed=False, ratio=2.0
    )
    assert rejudged(report(flipped), Multiple(2.0))["ok"] is False


def test_nothing_compared_does_not_pass():
    assert rejudged(nothing_compared(), Multiple(100.0))["ok"] is False


def test_where_it_starts_is_dropped_with_the_disagreement():
    off = check(relative=3e-6, max_abs=3e-6, ratio=2.0, peak_limit=1e-5, passed=False, detail="off")
    given = replace(parity(off), located="layer 'stem'")
    passing = rejudged(plain(facts(parity=given)), Tolerances(1.0))
    failing = rejudged(plain(facts(parity=given)), Tolerances(1e-9))
    assert passing["parity"]["located"] == ""
    assert failing["parity"]["located"] == "layer 'stem'"


def test_the_report_says_that_it_was_judged_anew_and_how():
    again = rejudged(plain(facts()), Tolerances(1.0, 0.5))
    assert again["notes"][-1] == "judged anew, from recorded errors: |a - b| <= 1 + 0.5 |b|"
    assert (again["options"]["atol"], again["options"]["rtol"]) == (1.0, 0.5)


def test_tolerances_leave_out_what_a_verification_with_them_leaves_out():
    off = {"ratio": 9.0, "passed": False, "detail": "off"}
    large = check(inputs="ones", relative=1.0, max_abs=1.0, peak_limit=1e-6, **off)
    again = rejudged(report(check(peak_limit=1e-6), large), Tolerances(1.0))
    assert [each.get("inputs", "") for each in again["parity"]["checks"]] == [""]
    assert again["ok"]
    kept = rejudged(report(check(peak_limit=1e-6), large), Multiple(8.0))
    assert [each.get("inputs", "") for each in kept["parity"]["checks"]] == ["", "ones"]


def test_it_is_not_judged_anew_twice():
    again = rejudged(report(check(peak_limit=1e-6)), Tolerances(1.0))
    with pytest.raises(NotRecorded, match="judged anew before"):
        rejudged(again, Tolerances(2.0))


def test_the_recorded_report_is_not_changed():
    recorded = report(check(peak_limit=1e-6))
    before = copy.deepcopy(recorded)
    rejudged(recorded, Tolerances(1e-9))
    assert recorded == before


@pytest.mark.parametrize(
    "rule",
    [Multiple(0.0), Multiple(math.nan), Multiple(math.inf), Tolerances(-1.0), Tolerances(math.nan)],
)
def test_a_limit_that_is_no_number_is_a_usage_error(rule):
    with pytest.raises(UsageError):
        rejudged(report(check()), rule)
