import dataclasses
import io

from rich.console import Console
from sample_report import check, failed_check, parity

from bnexport.cli.parity_table import show_parity
from bnexport.report import parity_json


def shown(given):
    console = Console(file=io.StringIO(), width=80, markup=False, highlight=False)
    show_parity(console, parity_json(given))
    return console.file.getvalue()


def lines(given):
    return [line.split() for line in shown(given).splitlines() if line.startswith("  ONNX")]


def test_the_output_closest_to_failing_stands_for_its_run():
    near = check(output="near", relative=1e-6, ratio=0.7)
    far = check(output="far", relative=2e-6, limit=1e-4, ratio=0.02)
    assert lines(parity(far, near))[0][-4:-2] == ["1.0e-06", "1.5e-06"]


def test_one_failed_output_fails_its_run():
    assert lines(parity(check(), failed_check(output="other")))[0][-1] == "FAIL"


def test_a_sample_that_depends_on_its_neighbours_is_seen_in_its_column():
    run = lines(parity(check(), check(kind="alone"), failed_check(kind="neighbours")))
    assert run[0][-2:] == ["NO", "FAIL"]


def test_checks_of_one_run_are_one_line_in_the_order_in_which_they_were_made():
    interleaved = (check(batch=8), check(batch=1), check(batch=8, kind="alone"))
    assert [line[-5] for line in lines(parity(*interleaved))] == ["8", "1"]


def test_no_difference_is_zero():
    assert lines(parity(check(relative=0.0, ratio=0.0)))[0][-4] == "0"


def test_explicit_tolerances_show_the_ratio():
    explicit = dataclasses.replace(parity(check(ratio=0.25)), multiple=None)
    assert "as a multiple of" in shown(explicit)
    assert lines(explicit)[0][-4:-2] == ["0.25", "1"]


def test_a_failure_says_which_output_and_why():
    text = " ".join(shown(parity(failed_check(kind="alone"))).split())
    assert (
        "failed ONNX Runtime 1.32.0 (cpu), output 'logits' at batch 8 differs when it runs alone: "
        "ONNX Runtime has NaN at [0, 7] of output 'logits'"
    ) in text


def test_many_failures_are_counted():
    text = shown(parity(*(failed_check(output=f"o{i}") for i in range(7))))
    assert "and 2 more: the report lists every check" in text
    assert "'o5'" not in text


def test_what_was_skipped_is_always_said():
    assert "skipped   tensorrt_rtx 1.7.1: built for sm_89, not executed" in shown(parity(check()))
