import inspect
import json
import logging
import os
import sys
import warnings
from pathlib import Path
from types import SimpleNamespace

import pytest
from sample_report import facts

from bnexport import Isolation
from bnexport.report import document
from bnexport.targets.tensorrt import EngineOptions


def test_the_defaults_are_those_of_the_function(bnexport, calls):
    bnexport("convert", "model.pt")
    (model, options), *_ = calls
    del options["observe"]
    assert model == "model.pt"
    assert options == {
        "output": None,
        "target": ("onnx",),
        "arch": None,
        "arch_args": None,
        "allow": (),
        "allow_partial": False,
        "trust_torchscript": False,
        "state_dict_key": None,
        "inputs": (),
        "inputs_from": None,
        "batch": (1, 8),
        "opset": None,
        "precision": None,
        "io_half": False,
        "external_data": None,
        "sm": (),
        "tf32": False,
        "engine": EngineOptions(),
        "isolation": Isolation(),
        "force": False,
        "cache": None,
        "atol": None,
        "rtol": None,
        "mixes_batch": False,
        "runtimes": (),
        "keep_failed": False,
        "fold": True,
        "simplify": None,
        "capture": "auto",
        "proof": "full",
        "drift_taps": False,
    }


def test_every_option_reaches_the_function(bnexport, calls):
    bnexport(
        *("convert", "m", "-o", "out.onnx", "--target", "onnx, trt", "--target", "pt2,onnx"),
        *("--arch", "a.b:c", "--arch-args", '{"n": 1}', "--allow", "a.B", "--allow", "c"),
        *("--allow-partial", "--trust-torchscript", "--state-dict-key", "ema"),
        *("--input", "Nx3", "--input", "y:Nx4:int64", "--inputs-from", "x.npz"),
        *("--batch", "1,4,4", "--opset", "20", "--no-external-data", "--sm", "80,89", "--tf32"),
        *("--atol", "0", "--rtol", "1e-3", "--mixes-batch", "--keep-failed"),
        *("--runtime", "ort,ort-plain", "--runtime", "ort"),
        *(
            "--no-fold",
            "--no-simplify",
            "--precision",
            "mixed",
            "--io-half",
            "--force",
            "--drift-taps",
        ),
        *("--capture", "export", "--proof", "quick", "--cache", "kept"),
        *("--profile", "H=1:2:3", "--profile", "H=4", "--static", "--optimisation-level", "2"),
        *("--workspace", "64", "--compatible", "ampere", "--compatible", "version"),
        *("--strip-weights", "--refit", "--timing-cache", "t", "--no-timing-cache"),
        "--no-engine-cache",
        *("--in-process", "--timeout", "60", "--memory", "2GiB"),
    )
    (_, options), *_ = calls
    del options["observe"]
    assert options == {
        "output": "out.onnx",
        "target": ("onnx", "trt", "pt2"),
        "arch": "a.b:c",
        "arch_args": {"n": 1},
        "allow": ("a.B", "c"),
        "allow_partial": True,
        "trust_torchscript": True,
        "state_dict_key": "ema",
        "inputs": ("Nx3", "y:Nx4:int64"),
        "inputs_from": "x.npz",
        "batch": (1, 4),
        "opset": 20,
        "precision": "mixed",
        "io_half": True,
        "external_data": False,
        "sm": (80, 89),
        "tf32": True,
        "engine": EngineOptions(
            profiles=("H=1:2:3", "H=4"),
            static=True,
            optimisation_level=2,
            workspace_mib=64,
            compatible=("ampere", "version"),
            strip_weights=True,
            refit=True,
            timing_cache=Path("t"),
            keep_timings=False,
            keep_engines=False,
        ),
        "force": True,
        "cache": "kept",
        "atol": 0.0,
        "isolation": Isolation(True, 60, 2 << 30),
        "rtol": 1e-3,
        "mixes_batch": True,
        "runtimes": ("ort", "ort-plain"),
        "keep_failed": True,
        "fold": False,
        "simplify": False,
        "capture": "export",
        "proof": "quick",
        "drift_taps": True,
    }


def test_the_function_takes_what_the_command_gives(bnexport, calls):
    from bnexport.convert import convert as stub

    bnexport("convert", "model.pt")
    del sys.modules["bnexport.convert"]
    from bnexport.convert import convert

    assert convert is not stub
    inspect.signature(convert).bind(calls[0][0], **calls[0][1])


def test_arch_alone_is_enough(bnexport, calls):
    assert bnexport("convert", "--arch", "a:b").code == 0
    assert calls[0][0] is None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "Missing argument 'MODEL' (or --arch MODULE:FACTORY)."),
        (["m", "--target", "tensorrt"], "'tensorrt' is not one of onnx, trt, trt-rtx"),
        (
            ["m", "--runtime", "tpu"],
            "'tpu' is not one of ort, ort-plain, ort-rounded, ort-cuda, ort-trt",
        ),
        (["m", "--batch", "1,0"], "'1,0' is not a list of whole numbers above 0"),
        (["m", "--batch", ""], "'' is not a list of whole numbers above 0"),
        (["m", "--sm", "8.9"], "'8.9' is not a list of whole numbers above 0"),
        (["m", "--arch-args", "{"], "'{' is not JSON"),
        (["m", "--arch-args", "[1]"], "'[1]' is not a JSON object"),
        (["m", "--atol", "-1"], "-1.0 is not in the range x>=0"),
        (["m", "--opset", "0"], "0 is not in the range x>=1"),
        (["m", "n"], "unexpected extra argument (n)"),
    ],
)
def test_a_usage_error_names_what_is_wrong(bnexport, calls, arguments, message):
    outcome = bnexport("convert", *arguments)
    assert (outcome.code, outcome.out, calls) == (2, "", [])
    assert message in outcome.err
    assert "Usage: bnexport convert" in outcome.err


def test_json_is_the_report_and_nothing_else(bnexport, calls):
    outcome = bnexport("convert", "m", "--json")
    expected = document(facts())
    assert json.loads(outcome.out) | {"created": ""} == expected | {"created": ""}


def test_quiet_is_quiet(bnexport, calls):
    outcome = bnexport("convert", "m", "--quiet")
    assert (outcome.code, outcome.out, outcome.err) == (0, "", "")


def noisy(model, **options):
    print("a model that prints")
    os.write(1, b"a native library that writes\n")
    warnings.warn("a library that warns", stacklevel=1)
    logging.getLogger("torch").error("a library that logs")
    return SimpleNamespace(to_json=lambda: document(facts()), report=None)


def test_what_models_and_libraries_write_stays_off_stdout(bnexport, stub_convert):
    stub_convert(noisy)
    outcome = bnexport("convert", "m", "--json")
    assert json.loads(outcome.out)["schema"] == "bnexport.report/1"
    assert "a model that prints\n" in outcome.err
    assert "a native library that writes\n" in outcome.err


def test_library_warnings_and_logs_are_dropped(bnexport, stub_convert):
    stub_convert(noisy)
    err = bnexport("convert", "m").err
    assert "a library that warns" not in err
    assert "a library that logs" not in err


def test_logging_is_as_before_afterwards(bnexport, calls):
    bnexport("convert", "m")
    assert logging.root.manager.disable == logging.NOTSET


def test_the_summary_is_on_stdout(bnexport, calls):
    outcome = bnexport("convert", "m")
    assert outcome.out.startswith("model     resnet.pt (checkpoint")


def test_ledger_and_passes_are_shown_on_demand(bnexport, calls):
    brief = bnexport("convert", "m").out
    full = bnexport("convert", "m", "--ledger", "--print-passes").out
    assert "stem.bn" not in brief
    assert "stem.bn" in full
    assert "FoldConstants" not in brief
    assert "FoldConstants" in full
