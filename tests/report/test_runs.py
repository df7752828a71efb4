import math

import pytest
from hostile_report import verification
from sample_report import check, failed_check, parity

from bnexport.report.runs import failures, number, ratio, runs, sentence, size, value


def made(*checks):
    return verification(parity(*checks))["parity"]


def test_a_run_is_a_runtime_a_precision_and_a_batch():
    found = runs(made(check(batch=8), check(batch=1), check(batch=8, kind="alone")))
    assert [(run.batch, len(run.checks)) for run in found] == [(8, 2), (1, 1)]


def test_one_failed_check_fails_its_run_alone():
    found = runs(made(check(), failed_check(kind="alone"), check(batch=1)))
    assert [run.passed for run in found] == [False, True]


def test_independence_is_unknown_where_it_was_not_looked_at():
    assert [run.independent for run in runs(made(check()))] == [None]


def test_without_an_agreement_there_is_no_error():
    (run,) = runs(made(check(kind="alone")))
    assert (run.error, run.limit, run.worst) == ("-", "-", None)


@pytest.mark.parametrize(
    ("fields", "share"),
    [
        ({"ratio": "NaN", "relative": 1, "limit": 1}, math.inf),
        ({"ratio": "Infinity", "relative": 1, "limit": 1}, math.inf),
        ({"relative": 3.0, "limit": 2.0}, 1.5),
        ({"relative": 3.0, "limit": 0.0}, 3.0),
    ],
)
def test_the_ratio_of_what_could_not_be_measured_is_infinite(fields, share):
    assert ratio(fields) == share


def test_numbers_that_are_not_finite_are_read():
    assert math.isnan(value("NaN"))
    assert value("-Infinity") == -math.inf
    assert value(10**400) == math.inf
    assert number("Infinity") == "inf"


def test_a_sentence_names_the_output():
    (failure,) = failures(made(check(), failed_check())["checks"])
    assert sentence(failure).startswith(
        "ONNX Runtime 1.32.0 (cpu), output 'logits' at batch 8 disagrees: "
    )


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (44_700_000, "44.7 MB"), (10**13, "10000.0 GB")],
)
def test_a_size_has_its_unit(count, text):
    assert size(count) == text
