"""What TensorRT says is kept and told in one sentence."""

from bnexport.targets.tensorrt.logger import Messages, reason


def messages(*pairs):
    made = Messages()
    for severity, text in pairs:
        made.add(severity, text)
    return made


def test_errors_and_warnings_are_kept_once():
    made = messages(("ERROR", "a"), ("ERROR", "a"), ("WARNING", "b"), ("INFO", "c"))
    assert (made.errors, made.warnings) == (["a"], ["b"])


def test_the_routine_warning_of_integer_inputs_is_dropped():
    text = "ModelImporter.cpp:1071: Make sure input x has Int64 binding."
    assert messages(("WARNING", text)).warnings == []


def test_the_reason_has_no_source_lines():
    text = (
        "IBuilder::buildSerializedNetwork: Error Code 1: Myelin (no such kernel"
        " In compileGraph at /_src/optimizer/myelin/codeGenerator.cpp:2012)"
    )
    assert reason(messages(("ERROR", text))) == "Myelin (no such kernel"


def test_silence_is_said():
    assert reason(messages()) == "the library gave no reason"


def test_a_long_reason_is_cut():
    assert len(reason(messages(("ERROR", "x" * 5000)))) < 500
