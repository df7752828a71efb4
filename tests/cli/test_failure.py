import json

import click
import pytest
from sample_report import facts, failed_check, parity

from bnexport.cli.failure import explain
from bnexport.errors import (
    BnexportError,
    ExportError,
    MissingRuntime,
    OutputError,
    ParityFailure,
    Refused,
    UsageError,
)
from bnexport.report import document


def raising(error):
    def convert(model, **options):
        raise error

    return convert


REFUSED = Refused("model.pt", "it needs mypkg.Net", "Add --allow mypkg.Net")


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ParityFailure("x"), 1),
        (UsageError("x"), 2),
        (OutputError("x"), 2),
        (click.BadParameter("x"), 2),
        (Refused("x"), 3),
        (SystemExit(0), 3),
        (ExportError("x"), 4),
        (MissingRuntime("x"), 5),
        (ValueError("x"), 70),
        (KeyboardInterrupt(), 130),
        (click.Abort(), 130),
    ],
)
def test_the_exit_code_is_that_of_the_error(error, code):
    assert explain(error).exit_code == code


def test_a_message_has_three_parts(bnexport, stub_convert):
    stub_convert(raising(REFUSED))
    outcome = bnexport("convert", "model.pt", "--quiet")
    assert outcome.code == 3
    assert outcome.out == ""
    assert outcome.err == "error: model.pt\n  it needs mypkg.Net\n  Add --allow mypkg.Net\n"


def test_a_part_of_several_lines_is_indented(bnexport, stub_convert):
    stub_convert(raising(Refused("model.pt", "it needs\na.B\nc.D")))
    assert bnexport("convert", "m").err.endswith("error: model.pt\n  it needs\n  a.B\n  c.D\n")


def test_a_message_cannot_move_the_cursor(bnexport, stub_convert):
    stub_convert(raising(Refused("\x1b[2Jlayer\r", "a\x07b")))
    assert bnexport("convert", "m").err.endswith("error: \\x1b[2Jlayer\\r\n  a\\x07b\n")


def test_an_error_as_json_is_the_only_thing_on_stdout(bnexport, stub_convert):
    stub_convert(raising(REFUSED))
    outcome = bnexport("convert", "model.pt", "--json")
    assert outcome.code == 3
    assert json.loads(outcome.out) == {
        "schema": "bnexport.error/1",
        "error": {
            "type": "Refused",
            "what": "model.pt",
            "why": "it needs mypkg.Net",
            "remedy": "Add --allow mypkg.Net",
        },
        "exit_code": 3,
    }


def test_a_usage_error_is_json_too(bnexport):
    outcome = bnexport("convert", "--json", "--batch", "zero", "m")
    assert (outcome.code, outcome.err) == (2, "")
    assert json.loads(outcome.out)["error"]["type"] == "UsageError"


def test_an_unexpected_exception_is_called_our_fault_without_a_traceback(bnexport, stub_convert):
    stub_convert(raising(ZeroDivisionError("division by zero")))
    outcome = bnexport("convert", "m")
    assert outcome.code == 70
    assert "error: internal error: ZeroDivisionError: division by zero\n" in outcome.err
    assert "--debug" in outcome.err
    assert "Traceback" not in outcome.err


def test_debug_shows_the_traceback(bnexport, stub_convert):
    stub_convert(raising(REFUSED))
    outcome = bnexport("convert", "m", "--debug")
    assert outcome.err.count("Traceback (most recent call last)") == 1
    assert outcome.err.endswith("  Add --allow mypkg.Net\n")


def test_an_interrupt_leaves_with_130(bnexport, stub_convert):
    stub_convert(raising(KeyboardInterrupt()))
    outcome = bnexport("convert", "m")
    assert (outcome.code, outcome.out) == (130, "")
    assert outcome.err.endswith("error: interrupted\n")


class Failed(BnexportError):
    exit_code = 1

    class conversion:  # noqa: N801
        @staticmethod
        def to_json():
            return document(facts(parity=parity(failed_check())))


def test_a_failed_verification_shows_its_table(bnexport, stub_convert):
    stub_convert(raising(Failed("output 'logits'", "NaN")))
    outcome = bnexport("convert", "m")
    assert (outcome.code, outcome.out) == (1, "")
    assert "FAIL" in outcome.err


def test_a_failed_verification_carries_its_report(bnexport, stub_convert):
    stub_convert(raising(Failed("output 'logits'", "NaN")))
    found = json.loads(bnexport("convert", "m", "--json").out)
    assert found["report"]["parity"]["checks"][0]["max_abs"] == "NaN"
