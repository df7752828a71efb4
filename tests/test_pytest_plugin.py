"""The pytest plugin, as a project that is not bnexport's uses it."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path
from xml.etree import ElementTree

import pytest
from torch import nn

import bnexport
from bnexport.cli.plain import failure_text
from bnexport.pytest_plugin import _report_name

# Where the plugin is installed, pytest finds it; in a bare tree it is named.
FOUND = any(entry.value == "bnexport.pytest_plugin" for entry in entry_points(group="pytest11"))
PLUGIN = () if FOUND else ("-p", "bnexport.pytest_plugin")

NET = """
import sys
import numpy as np
import pytest
import torch
from torch import nn

def net(track=True):
    torch.manual_seed(3)
    bn = nn.BatchNorm2d(4, track_running_stats=track)
    return nn.Sequential(nn.Conv2d(3, 4, 3), bn, nn.ReLU())
"""


@pytest.fixture(scope="module")
def imported(tmp_path_factory):
    """All that a conversion imports: pytester forgets what a test imports, and torch comes only once."""
    path = tmp_path_factory.mktemp("imported") / "model.onnx"
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
    with pytest.raises(bnexport.ConversionFailed) as failure:
        bnexport.convert(module, path, inputs=["Nx3x8x8"], atol=0.0, rtol=0.0)
    failure_text(failure.value)


@pytest.fixture
def project(imported, pytester):
    """Write a test file, and run it."""

    def run(text, *arguments):
        pytester.makepyfile(test_net=NET + text)
        return pytester.runpytest_inprocess(*PLUGIN, "--strict-markers", *arguments)

    return run


def test_it_gives_the_conversion_and_leaves_the_files(project):
    project("""
def test_net(bnexport_parity, tmp_path):
    model = net().train()
    conversion = bnexport_parity(model, "Nx3x8x8", opset=18)
    assert conversion.ok and model.training
    assert {check.batch for check in conversion.parity.checks} == {1, 8}
    assert conversion.document["options"]["opset"] == 18
    assert conversion.report.is_relative_to(tmp_path)
    assert all(path.exists() for path in conversion.files)
    again = bnexport_parity(conversion.path)
    assert again.path != conversion.path
""").assert_outcomes(passed=1)


def test_a_check_that_fails_fails_the_test_with_the_table(project, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    result = project("""
def test_net(bnexport_parity):
    bnexport_parity(net(), "Nx3x8x8", atol=0, rtol=0)
""")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            "bnexport: ONNX Runtime * output 'output' at batch 1: *",
            "  The failed files are kept: */bnexport/model.failed.onnx",
            "agreement held against PyTorch * eval mode, float64; *",
            "  runtime * batch *",
            "  ONNX Runtime * (cpu)  float32 *  FAIL",
            "failed    ONNX Runtime *",
        ]
    )
    assert "Traceback" not in result.stdout.str()
    assert "torch.__trace" not in result.stdout.str()
    assert "pytest_plugin.py" not in result.stdout.str()


REFUSED = {
    "batch_statistics": ("net(track=False), 'Nx3x8x8'", "*1*BatchNorm*"),
    "no_such_input": ("net(), 'y:Nx3x8x8'", "bnexport: input 'y'*"),
    "no_such_file": ("'nothing.pt'", "bnexport: *nothing.pt*"),
    "no_such_target": ("net(), targets='onyx'", "bnexport: target 'onyx' is not known*"),
    "no_samples": ("net(), {'input': 3}", "*it is a int*"),
    "samples_of_text": ("net(), np.array(['a'])", "bnexport: inputs cannot be used as samples*"),
}


@pytest.mark.parametrize(("call", "line"), REFUSED.values(), ids=REFUSED)
def test_what_is_refused_fails_the_test_with_the_reason(project, call, line):
    result = project(f"""
def test_net(bnexport_parity):
    bnexport_parity({call})
""")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines([line])
    assert "pytest_plugin.py" not in result.stdout.str()


def test_an_option_that_is_none_is_shown_where_the_test_wrote_it(project):
    result = project("""
def test_net(bnexport_parity):
    bnexport_parity(net(), batches=(1, 2))
""")
    result.stdout.fnmatch_lines(["*TypeError: convert() got * 'batches'", "test_net.py:*TypeError"])


SAMPLES = {
    "tensor": "torch.ones(2, 3, 8, 8, requires_grad=True)",
    "array": "np.ones((2, 3, 8, 8))",
    "tuple": "(torch.ones(2, 3, 8, 8),)",
    "mapping": "{'input': torch.ones(2, 3, 8, 8)}",
    "parameter": "nn.Parameter(torch.ones(2, 3, 8, 8))",
    "path": "saved(tmp_path)",
    "text_of_a_path": "str(saved(tmp_path))",
}


def test_real_samples_are_taken_in_every_form(project):
    cases = ", ".join(f"lambda tmp_path: {text}" for text in SAMPLES.values())
    project(f"""
def saved(tmp_path):
    np.savez(tmp_path / "samples.npz", input=np.ones((2, 3, 8, 8), np.float32))
    return tmp_path / "samples.npz"

@pytest.mark.parametrize("samples", [{cases}])
def test_net(bnexport_parity, tmp_path, samples):
    conversion = bnexport_parity(net(), samples(tmp_path), batch_sizes=[2])
    given = conversion.document["inputs"]
    assert given["real"]
    assert given["specs"] == [dict(name="input", shape=["N", 3, 8, 8], dtype="float32")]
""").assert_outcomes(passed=len(SAMPLES))


def test_shapes_of_several_inputs_are_taken(project):
    project("""
class Pair(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(4, 4)

    def forward(self, x, y):
        return self.linear(x) + y

def test_net(bnexport_parity):
    conversion = bnexport_parity(Pair(), ["y:Nx4", "Nx4"], batch_sizes=[2])
    assert [spec["name"] for spec in conversion.document["inputs"]["specs"]] == ["x", "y"]
""").assert_outcomes(passed=1)


def test_the_closest_marker_says_what_the_call_does_not(project):
    project("""
pytestmark = pytest.mark.bnexport_parity(inputs="Nx3x8x8", batch_sizes=(1, 2))

def sizes(conversion):
    return sorted({check.batch for check in conversion.parity.checks})

def test_module(bnexport_parity):
    conversion = bnexport_parity(net())
    (spec,) = conversion.document["inputs"]["specs"]
    assert (spec["name"], spec["shape"]) == ("input", ["N", 3, 8, 8])
    assert sizes(conversion) == [1, 2]

@pytest.mark.bnexport_parity(batch_sizes=(3,), targets=["pt2"])
class TestClass:
    def test_class(self, bnexport_parity):
        conversion = bnexport_parity(net())
        assert sizes(conversion) == [1, 3] and conversion.document["targets"] == ["pt2"]

    @pytest.mark.bnexport_parity(batch_sizes=(4,), opset=18)
    def test_function(self, bnexport_parity):
        conversion = bnexport_parity(net(), targets="onnx")
        assert sizes(conversion) == [1, 4] and conversion.document["targets"] == ["onnx"]
        assert conversion.document["options"]["opset"] == 18

def test_without_the_fixture():
    pass
""").assert_outcomes(passed=4)


def test_a_marker_with_nameless_arguments_is_refused(project):
    result = project("""
@pytest.mark.bnexport_parity("Nx3x8x8")
def test_net(bnexport_parity):
    bnexport_parity(net())
""")
    result.stdout.fnmatch_lines(
        ["bnexport: marker bnexport_parity: it takes its arguments by name"]
    )


def test_a_marked_test_that_does_not_take_the_fixture_is_warned_of(project):
    result = project("""
@pytest.mark.bnexport_parity(inputs="Nx3x8x8")
def test_net():
    pass
""")
    result.assert_outcomes(passed=1, warnings=1)
    result.stdout.fnmatch_lines(["*test_net is marked bnexport_parity and does not take the fix*"])


INI = {"words": "= 2 3", "commas": "= 2,3", "list": '= ["2", "3"]'}


@pytest.mark.parametrize("form", INI)
def test_the_project_says_its_batch_sizes(project, pytester, form):
    if form == "list":
        pytester.makepyprojecttoml(f"[tool.pytest.ini_options]\nbnexport_batch_sizes {INI[form]}")
    else:
        pytester.makeini(f"[pytest]\nbnexport_batch_sizes {INI[form]}")
    project("""
def test_net(bnexport_parity):
    conversion = bnexport_parity(net(), "Nx3x8x8")
    assert {check.batch for check in conversion.parity.checks} == {1, 2, 3}
""").assert_outcomes(passed=1)


@pytest.mark.parametrize("said", ["", "0 8", "1 eight"])
def test_batch_sizes_that_are_none_end_the_run_at_once(project, pytester, said):
    pytester.makeini(f"[pytest]\nbnexport_batch_sizes = {said}")
    result = project("def test_net(): pass")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"*bnexport_batch_sizes = {said}: not batch sizes; write 1 8"])


def properties(path):
    found = ElementTree.parse(path).iter("property")
    return [(each.get("name"), each.get("value")) for each in found]


def test_a_missing_runtime_skips_the_test_and_is_named(project, tmp_path):
    junit = tmp_path / "junit.xml"
    result = project(
        """
def test_net(bnexport_parity, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    bnexport_parity(net(), "Nx3x8x8")
""",
        "-rs",
        f"--junitxml={junit}",
        "-Werror",
    )
    result.assert_outcomes(skipped=1)
    result.stdout.fnmatch_lines(
        [
            "*= bnexport: not executed =*",
            "test_net.py::test_net: target onnx: ONNX Runtime: *",
            "SKIPPED * test_net.py:*: target onnx: ONNX Runtime: onnxruntime cannot be imported*",
        ]
    )
    [(name, value)] = properties(junit)
    assert name == "bnexport_skipped"
    assert value.startswith("target onnx: ONNX Runtime")


TWO_TARGETS = """
def test_net(bnexport_parity, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorrt_rtx", None)
    bnexport_parity(net(), "Nx3x8x8", targets="trt-rtx,onnx", {})
"""


def test_a_test_that_skips_one_target_has_checked_the_others(project):
    result = project(TWO_TARGETS.format("batch_sizes=[2]"), "-rs")
    result.assert_outcomes(skipped=1)
    result.stdout.fnmatch_lines(
        ["SKIPPED * target trt-rtx: TensorRT-RTX: it is not installed. *; target onnx passed"]
    )


def test_a_missing_runtime_hides_no_failure_of_another_target(project):
    result = project(TWO_TARGETS.format("atol=0, rtol=0"))
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*target trt-rtx: TensorRT-RTX: it is not installed*"])


def test_an_engine_that_was_not_executed_is_named_beside_the_checks_that_ran(project, tmp_path):
    pytest.importorskip("tensorrt_rtx")
    junit = tmp_path / "junit.xml"
    result = project(
        """
def test_net(bnexport_parity):
    conversion = bnexport_parity(net(), "Nx3x8x8", targets="trt-rtx", sm=[121], batch_sizes=[2])
    assert conversion.ok and conversion.path.name == "model.engine"
""",
        "-rP",
        f"--junitxml={junit}",
    )
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(
        [
            "*bnexport, not executed call*",
            "tensorrt_rtx *: built for sm_121, not executed: *",
            "*= bnexport: not executed =*",
            "test_net.py::test_net: tensorrt_rtx *: built for sm_121, not executed: *",
        ]
    )
    assert ("bnexport_skipped", "tensorrt_rtx") in [
        (name, value.split()[0]) for name, value in properties(junit)
    ]


def test_the_reports_are_copied_by_the_names_of_the_tests(project, pytester):
    result = project(
        """
class TestNet:
    @pytest.mark.parametrize("size", ["8x8", "a/b"])
    def test_net(self, bnexport_parity, size, monkeypatch, tmp_path):
        monkeypatch.chdir(tmp_path)
        bnexport_parity(net(), "Nx3x8x8", batch_sizes=[2])
        bnexport_parity(net(), "Nx3x8x8", batch_sizes=[2])

def test_bad(bnexport_parity):
    bnexport_parity(net(), "Nx3x8x8", atol=0, rtol=0)
""",
        "--bnexport-reports=out",
    )
    result.assert_outcomes(passed=2, failed=1)
    first = "TestNet.test_net[8x8]"
    second = _report_name("test_net.py::TestNet::test_net[a/b]", 1).stem
    assert {path.name for path in pytester.path.joinpath("out", "test_net.py").iterdir()} == {
        *(f"{name}{count}.json" for name in (first, second) for count in ("", "-2")),
        "test_bad.json",
    }


def test_reports_of_different_tests_have_different_names():
    ids = ["a/b.py::t", "a-b.py::t", "b.py::t[a/b]", "b.py::t[a-b]", "b.py::t[a b]"]
    ids += ["../b.py::t", f"b.py::t[{'x' * 300}]", f"b.py::t[{'x' * 301}]"]
    names = [_report_name(test, 1) for test in ids]
    assert len(set(names)) == len(ids)
    assert all(len(name.name) < 255 and ".." not in name.parts for name in names)


def test_a_projects_errors_for_warnings_are_not_for_torchs_exporter(project):
    project(
        """
def test_net(bnexport_parity):
    bnexport_parity(net(), "Nx3x8x8", targets="onnx,torchscript", batch_sizes=[2])
""",
        "-Werror",
    ).assert_outcomes(passed=1)


def entry_point(folder: Path) -> None:
    """Make ``folder`` look like one into which the plugin is installed."""
    info = folder / "bnexport_here-0.dist-info"
    info.mkdir()
    info.joinpath("METADATA").write_text("Metadata-Version: 2.1\nName: bnexport-here\nVersion: 0\n")
    info.joinpath("entry_points.txt").write_text("[pytest11]\nbnexport = bnexport.pytest_plugin\n")


@pytest.mark.parametrize(("off", "there"), [(("-p", "no:bnexport"), False), ((), True)])
def test_it_can_be_switched_off(pytester, monkeypatch, off, there):
    entry_point(pytester.path)
    source = Path(bnexport.__file__).parents[1]
    monkeypatch.setenv("PYTHONPATH", f"{pytester.path}:{source}")
    pytester.makepyfile("def test_nothing(): pass")
    result = pytester.runpytest_subprocess(*off, "--strict-markers")
    result.assert_outcomes(passed=1)
    shown = pytester.runpytest_subprocess(*off, "--markers", "--fixtures").stdout.str()
    shown += pytester.runpytest_subprocess(*off, "--fixtures").stdout.str()
    assert ("@pytest.mark.bnexport_parity(" in shown) == there
    assert ("Convert a model, and fail the test" in shown) == there


def test_pytest_does_not_pay_for_it_at_its_start():
    code = (
        "import sys, bnexport.pytest_plugin;"
        " print([m for m in ('torch', 'onnx', 'onnx_ir', 'numpy', 'rich') if m in sys.modules])"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout == "[]\n"


def test_what_is_unchanged_is_taken_from_the_cache(project, pytester):
    text = """
import pathlib

def test_net(bnexport_parity):
    import mynet
    torch.manual_seed(0)
    samples = np.ones((2, 3, 8, 8), np.float32)
    conversion = bnexport_parity(mynet.Net().eval(), samples, proof="quick")
    assert str(conversion.unchanged) == pathlib.Path("expected").read_text()
"""
    for factor, unchanged in ((2, False), (2, True), (3, False)):
        (pytester.path / "expected").write_text(str(unchanged))
        pytester.makepyfile(
            mynet=f"""
            from torch import nn
            class Net(nn.Module):
                def __init__(self):
                    super().__init__()
                    self.conv = nn.Conv2d(3, 4, 3)
                def forward(self, x):
                    return self.conv(x) * {factor}
            """
        )
        result = project(text, "--bnexport-cache", "kept")
        result.assert_outcomes(passed=1)
