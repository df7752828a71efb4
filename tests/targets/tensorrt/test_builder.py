"""Engines are built without a GPU; what fails says why; nothing is written of a failed build."""

import os
import signal
import subprocess
import sys
import threading

import onnx
import onnx_ir as ir
import pytest

from bnexport.errors import ExportError, OutputError, UsageError
from bnexport.targets.onnx import write_onnx
from bnexport.targets.tensorrt import EngineOptions, build_engine, builder

ADA = EngineOptions((1, 4, 8), sm=(89,))
HEAD = '<ir_version: 10, opset_import: ["" : 20]> g '


def test_an_engine_and_its_facts(rtx, write, tmp_path):
    info = build_engine(write(), tmp_path / "m.engine", rtx, ADA)
    assert (tmp_path / "m.engine").stat().st_size == info.bytes > 0
    assert (info.flavour, info.version, info.targets) == ("tensorrt_rtx", rtx.version, ("sm_89",))
    assert info.profiles == {"x": ((1, 4, 8, 8), (4, 4, 8, 8), (8, 4, 8, 8))}
    assert [(t.name, t.dtype, t.shape) for t in info.inputs] == [("x", "float32", (-1, 4, 8, 8))]
    assert [(t.name, t.dtype, t.shape) for t in info.outputs] == [("y", "float32", (-1, 6, 6, 6))]
    assert (info.precision, info.tf32) == ("float32", False)


def test_a_batchnorm_that_was_not_folded_is_a_scale_layer(rtx, write, tmp_path):
    info = build_engine(write(), tmp_path / "m.engine", rtx, ADA)
    assert info.layers == {"CONVOLUTION": 1, "SCALE": 1, "ACTIVATION": 1}
    assert info.scale_layers == 1


def test_a_folded_network_has_no_scale_layer(rtx, write, tmp_path):
    text = HEAD + "(float[N,4,8,8] x) => (float[N,6,6,6] y) { c = Conv (x, w, b) y = Relu (c) }"
    info = build_engine(write(text, w=(6, 4, 3, 3), b=(6,)), tmp_path / "m.engine", rtx, ADA)
    assert info.scale_layers == 0


@pytest.mark.parametrize("tf32", [False, True])
def test_tf32_is_off_unless_asked_for(rtx, write, tmp_path, monkeypatch, tf32):
    flags = []
    real = builder._config

    def config(*arguments):
        made = real(*arguments)
        flags.append(made.get_flag(rtx.module.BuilderFlag.TF32))
        return made

    monkeypatch.setattr(builder, "_config", config)
    options = EngineOptions((1, 1, 1), sm=(89,), tf32=tf32)
    info = build_engine(write(), tmp_path / "m.engine", rtx, options)
    assert (flags, info.precision) == ([tf32], "tf32" if tf32 else "float32")


def test_the_portable_set_is_built_and_said(rtx, write, tmp_path):
    info = build_engine(write(), tmp_path / "m.engine", rtx, EngineOptions((1, 2, 2)))
    assert info.targets == ("sm_80", "sm_86", "sm_89", "sm_120")
    assert "no CUDA device" in info.assumed
    assert "--sm" in info.assumed


def test_a_fixed_batch_needs_no_profile(rtx, write, tmp_path):
    text = HEAD + "(float[4,3] x) => (float[4,3] y) { y = Relu (x) }"
    assert build_engine(write(text), tmp_path / "m.engine", rtx, ADA).profiles == {}


def test_external_data_is_found_beside(rtx, write, tmp_path):
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    main, _ = write_onnx(_big_enough(write), folder / "m.onnx", external_data=True)
    assert build_engine(main, tmp_path / "m.engine", rtx, ADA).bytes > 64 * 4 * 9 * 4


def _big_enough(write):
    text = HEAD + "(float[N,4,8,8] x) => (float[N,64,6,6] y) { y = Conv (x, w) }"
    return ir.load(write(text, w=(64, 4, 3, 3)))


def test_options_reach_the_library(rtx, write, tmp_path):
    options = EngineOptions((1, 1, 1), sm=(89,), workspace_mib=64, optimisation_level=1)
    assert build_engine(write(), tmp_path / "m.engine", rtx, options).bytes > 0


def test_half_precision_is_reported(rtx, write, tmp_path):
    text = HEAD + "(float16[N,4] x) => (float16[N,4] y) { y = Relu (x) }"
    assert build_engine(write(text), tmp_path / "m.engine", rtx, ADA).precision == "float16"


def test_a_second_free_dimension_is_refused(rtx, write, tmp_path):
    text = HEAD + "(float[N,3,H,8] x) => (float[N,3,H,8] y) { y = Relu (x) }"
    with pytest.raises(ExportError, match=r"input 'x' \(Nx3xHx8\).*--profile H=MIN:OPT:MAX"):
        build_engine(write(text), tmp_path / "m.engine", rtx, ADA)


def test_a_build_that_fails_says_why_in_one_line(rtx, write, tmp_path):
    text = HEAD + (
        "(float[N,3,8,8] x) => (float[N,4,H,W] y)"
        "{ y = ConvTranspose <strides = [2,2], dilations = [2,2]> (x, w) }"
    )
    with pytest.raises(ExportError, match="Strided & Dilated Deconv") as caught:
        build_engine(write(text, w=(3, 4, 3, 3)), tmp_path / "m.engine", rtx, ADA)
    assert "\n" not in str(caught.value)
    assert "codeGenerator.cpp" not in str(caught.value)
    assert not (tmp_path / "m.engine").exists()


def test_turing_without_float32_products_names_the_flag(rtx, write, tmp_path):
    text = HEAD + "(float[N,16] x) => (float[N,8] y) { y = Gemm (x, w) }"
    with pytest.raises(ExportError, match="Leave 75 out of --sm"):
        build_engine(
            write(text, w=(16, 8)), tmp_path / "m.engine", rtx, EngineOptions((1, 1, 1), sm=(75,))
        )


def test_a_target_that_is_not_supported_names_those_that_are(rtx, write, tmp_path):
    with pytest.raises(UsageError, match=r"--sm 90.*80, 86, 89, 120"):
        build_engine(write(), tmp_path / "m.engine", rtx, EngineOptions((1, 1, 1), sm=(89, 90)))


def test_an_engine_that_cannot_be_written_is_an_output_error(rtx, write, tmp_path):
    with pytest.raises(OutputError):
        build_engine(write(), tmp_path / "no" / "m.engine", rtx, ADA)


def test_progress_rises_and_is_seen_in_the_callers_thread(rtx, write, tmp_path):
    seen = []
    build_engine(
        write(),
        tmp_path / "m.engine",
        rtx,
        ADA,
        lambda event: seen.append(
            (event.stage, event.status, event.fraction, threading.get_ident())
        ),
    )
    fractions = [fraction for _, _, fraction, _ in seen]
    assert fractions == sorted(fractions)
    assert 0.5 < fractions[-1] <= 1
    assert {(stage, status, ident) for stage, status, _, ident in seen} == {
        ("build", "step", threading.get_ident())
    }


def test_an_interrupt_stops_the_build(rtx, write, tmp_path):
    seen = []

    def interrupt(event):
        if not seen:
            os.kill(os.getpid(), signal.SIGINT)
        seen.append(event)

    with pytest.raises(KeyboardInterrupt):
        build_engine(_deep(tmp_path), tmp_path / "m.engine", rtx, ADA, interrupt)
    assert not (tmp_path / "m.engine").exists()
    assert "bnexport-build" not in {thread.name for thread in threading.enumerate()}


def _deep(tmp_path):
    chain = "".join(f" r{i + 1} = Conv <pads = [1,1,1,1]> (r{i}, w)" for i in range(50))
    text = HEAD + f"(float[N,16,8,8] r0) => (float[N,16,8,8] r50) {{{chain} }}"
    proto = onnx.parser.parse_model(text)
    weight = onnx.helper.make_tensor("w", 1, (16, 16, 3, 3), [0.01] * (16 * 16 * 9))
    proto.graph.initializer.append(weight)
    onnx.save(proto, tmp_path / "deep.onnx")
    return tmp_path / "deep.onnx"


KILLED = """
import os, signal, sys
from pathlib import Path
from bnexport.publish import Staging
from bnexport.targets.tensorrt import EngineOptions, build_engine, find_flavour
onnx, engine = map(Path, sys.argv[1:])
def kill(event):
    if event.fraction > 0.1:
        os.kill(os.getpid(), signal.SIGKILL)
with Staging(engine) as staging:
    flavour = find_flavour("trt-rtx")
    options = EngineOptions((1, 1, 1), sm=(89,))
    build_engine(onnx, staging.folder / engine.name, flavour, options, kill)
"""


def test_kill_during_a_build_leaves_the_older_engine(rtx, tmp_path):
    from bnexport.publish import Staging

    engine = tmp_path / "out" / "m.engine"
    engine.parent.mkdir()
    engine.write_bytes(b"older")
    command = [sys.executable, "-c", KILLED, str(_deep(tmp_path)), str(engine)]
    assert subprocess.run(command, check=False).returncode == -signal.SIGKILL
    assert len(list(engine.parent.iterdir())) == 2  # the leftover
    with Staging(engine):
        pass
    assert [(p.name, p.read_bytes()) for p in engine.parent.iterdir()] == [("m.engine", b"older")]


def test_nothing_is_said_on_standard_output(rtx, write, tmp_path, capfd):
    build_engine(write(), tmp_path / "m.engine", rtx, ADA)
    assert capfd.readouterr().out == ""
