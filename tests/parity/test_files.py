"""Two files, told by their content, the second judged by the first."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from bnexport.errors import Refused, UsageError
from bnexport.inputs import Examples
from bnexport.parity import OnnxRunner, RunFailed, verify_files
from bnexport.signature import Plain

pytestmark = pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning")

Build = Callable[..., bytes]


def written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


@pytest.fixture
def good(onnx_of: Build, tmp_path: Path) -> Path:
    return written(tmp_path / "good.bin", onnx_of())


def test_equal_files_pass_on_the_inputs_that_they_declare(good: Path) -> None:
    parity = verify_files(good, good)
    assert parity.ok
    assert parity.batches == (1, 8)
    assert parity.reference.startswith("good.bin as given")


def test_another_weight_fails(good: Path, onnx_of: Build, tmp_path: Path) -> None:
    other = written(tmp_path / "b", onnx_of(v=lambda v: v * 1.01))
    assert not verify_files(good, other).ok
    assert verify_files(good, other, atol=0.1).ok


def test_other_output_names_fail(good: Path, onnx_of: Build, tmp_path: Path) -> None:
    model = onnx.load_from_string(onnx_of())
    model.graph.output.reverse()
    other = written(tmp_path / "b", model.SerializeToString())
    parity = verify_files(good, other)
    assert "its outputs are features, logits" in parity.failures[0].detail


def test_batch_statistics_in_both_are_found(tmp_path: Path) -> None:
    text = """<ir_version: 10, opset_import: ["" : 18]> g (float[N,4] x) => (float[N,4] y) {
        zero = Constant <value_ints=[0]> ()
        mean = ReduceMean (x, zero)
        y = Sub (x, mean)
    }"""
    path = written(tmp_path / "a", onnx.parser.parse_model(text).SerializeToString())
    parity = verify_files(path, path)
    assert {c.kind for c in parity.failures} == {"alone", "neighbours"}


def test_a_free_axis_needs_a_shape(tmp_path: Path) -> None:
    text = '<ir_version: 10, opset_import: ["" : 18]> g (float[N,T] x) => (float[N,T] y) { y = Relu (x) }'
    path = written(tmp_path / "a", onnx.parser.parse_model(text).SerializeToString())
    with pytest.raises(UsageError, match="--input x:"):
        verify_files(path, path)


def test_torchscript_needs_trust(net: Plain, examples: Examples, good: Path) -> None:
    script = good.with_name("script")
    torch.jit.trace(net, examples.batch(2)).save(str(script))
    with pytest.raises(Refused, match="--trust-torchscript"):
        verify_files(script, good)
    assert verify_files(script, good, trust=True).ok
    assert verify_files(good, script, trust=True).ok


def test_an_exported_program_is_told_from_torchscript(
    net: Plain, examples: Examples, good: Path
) -> None:
    archive = good.with_name("archive")
    batch = torch.export.Dim("batch")
    program = torch.export.export(net, examples.batch(2), dynamic_shapes=(({0: batch},),))
    torch.export.save(program, str(archive))
    with pytest.raises(Refused, match=r"a torch\.export archive can run code"):
        verify_files(good, archive)
    assert verify_files(good, archive, trust=True).ok


def test_without_an_onnx_file_the_inputs_must_be_said(
    net: Plain, examples: Examples, tmp_path: Path
) -> None:
    script = tmp_path / "script"
    torch.jit.trace(net, examples.batch(2)).save(str(script))
    with pytest.raises(UsageError, match="--input Nx3x224x224"):
        verify_files(script, script, trust=True)
    assert verify_files(script, script, examples, trust=True).ok


def test_a_checkpoint_is_no_model_that_runs(net: Plain, good: Path) -> None:
    weights = good.with_name("weights")
    torch.save(net.state_dict(), weights)
    with pytest.raises(Refused, match="an archive of weights"):
        verify_files(good, weights)


@pytest.mark.parametrize("content", [b"", b"some text", b"PK\x03\x04 torn", b"\x80\x02}q"])
def test_a_file_of_another_kind_is_refused(good: Path, content: bytes) -> None:
    with pytest.raises(Refused):
        verify_files(good, written(good.with_name("odd"), content))


def test_an_engine_without_its_sidecar_is_refused(good: Path) -> None:
    with pytest.raises(Refused, match="native code"):
        verify_files(good, written(good.with_name("plan"), b"vtrt" + bytes(100)))


def test_a_missing_file_is_refused(good: Path) -> None:
    with pytest.raises(Refused, match="no such file"):
        verify_files(good.with_name("none"), good)


def test_a_reference_that_cannot_run_is_no_verdict(good: Path, onnx_of: Build) -> None:
    fixed = onnx.load_from_string(onnx_of())
    fixed.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 3
    path = written(good.with_name("fixed"), fixed.SerializeToString())
    with pytest.raises(RunFailed):
        OnnxRunner(path).run((np.zeros((1, 3, 8, 8), np.float32),))
    assert verify_files(path, path).batches == (1,)
