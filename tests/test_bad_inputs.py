"""What a user can get wrong: one clear message, the right exit code, no traceback, and no file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from bnexport.cli import main

ARCH = ["--arch", "models.depthwise_mobile:build"]


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.bn = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)

    def forward(self, x):
        return self.bn(self.conv(x))


def saved(path: Path, value: object) -> str:
    torch.save(value, path)
    return str(path)


def state(folder: Path, **changes: object) -> str:
    from models import depthwise_mobile

    weights = depthwise_mobile.build().state_dict()
    for name, change in changes.items():
        key = next(key for key in weights if key.endswith(name))
        weights[key] = change(weights[key])
    return saved(folder / "weights.pt", weights)


def missing_file(folder):
    return [str(folder / "nowhere.pt")], 3, "nowhere.pt"


def a_text_file(folder):
    (folder / "notes.pt").write_text("these are not the weights you are looking for\n" * 9)
    return [str(folder / "notes.pt")], 3, "notes.pt"


def a_truncated_checkpoint(folder):
    path = Path(state(folder))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    return [str(path), *ARCH], 3, "weights.pt"


def an_unknown_class(folder):
    return [saved(folder / "net.pt", Net())], 3, "--allow"


def a_wrong_arch(folder):
    return [state(folder), "--arch", "models.depthwise_mobile:no_such"], 3, "no_such"


def another_architecture(folder):
    return [state(folder), "--arch", "models.audio1d:build"], 3, "missing"


def a_wrong_shape(folder):
    return [state(folder), *ARCH, "--input", "Nx5x32x32"], 2, "5"


def an_input_that_is_no_shape(folder):
    return [state(folder), *ARCH, "--input", "three by four"], 2, "Nx3x224x224"


def nan_statistics(folder):
    path = state(folder, running_var=lambda var: var * float("nan"))
    return [path, *ARCH], 3, "NaN"


def no_running_statistics(folder):
    return ["--arch", "models.batch_statistics:build"], 3, "track_running_stats"


def an_unwritable_output(folder):
    return [state(folder), *ARCH, "-o", str(folder / "no" / "such" / "m.onnx")], 2, "mkdir -p"


def an_output_that_is_a_folder(folder):
    return [state(folder), *ARCH, "-o", str(folder)], 2, "is a folder"


def a_missing_runtime(folder):
    return [state(folder), *ARCH, "--target", "trt-rtx", "--input", "Nx3x32x32"], 5, "bnexport[rtx]"


def a_custom_operator(folder):
    node = onnx.helper.make_node("Twice", ["x"], ["y"], domain="my.ops")
    value = [onnx.helper.make_tensor_value_info(n, 1, ["N", 4]) for n in "xy"]
    graph = onnx.helper.make_graph([node], "g", value[:1], value[1:])
    opsets = [onnx.helper.make_opsetid("", 18), onnx.helper.make_opsetid("my.ops", 1)]
    onnx.save(onnx.helper.make_model(graph, opset_imports=opsets), folder / "custom.onnx")
    return [str(folder / "custom.onnx")], 3, "my.ops"


def an_empty_module(folder):
    return [saved(folder / "empty.pt", nn.Sequential())], 3, "no layer"


def inputs_of_another_model(folder):
    np.savez(folder / "x.npz", other=np.ones((2, 3, 32, 32), np.float32))
    return [state(folder), *ARCH, "--inputs-from", str(folder / "x.npz")], 2, "other"


CASES = [
    missing_file,
    a_text_file,
    a_truncated_checkpoint,
    an_unknown_class,
    a_wrong_arch,
    another_architecture,
    a_wrong_shape,
    an_input_that_is_no_shape,
    nan_statistics,
    no_running_statistics,
    an_unwritable_output,
    an_output_that_is_a_folder,
    a_missing_runtime,
    a_custom_operator,
    an_empty_module,
    inputs_of_another_model,
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
def test_bad_input(case, tmp_path, capfd, monkeypatch):
    if case is a_missing_runtime:
        for name in ("tensorrt", "tensorrt_rtx", "tensorrt_rtx_bindings"):
            monkeypatch.setitem(__import__("sys").modules, name, None)  # as if not installed
    arguments, code, names = case(tmp_path)
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    before = sorted(path for path in tmp_path.rglob("*"))
    assert main(["convert", *arguments]) == code
    out, err = capfd.readouterr()
    assert out == ""
    message = err[err.index("error: ") if "error: " in err else err.index("Error: ") :]
    assert names in message
    assert "Traceback" not in err
    assert len(message.strip().splitlines()) <= 8
    assert sorted(path for path in tmp_path.rglob("*")) == before
