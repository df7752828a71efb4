"""The manifest: read by sha256sum, and by us; what it lists is hashed."""

import json
import shutil
import subprocess

import pytest
import torch

import bnexport
from bnexport.cli import main
from bnexport.errors import Refused
from bnexport.manifest import Entry, read_manifest, write_manifest

NAMES = ["model.onnx", "two words.data", "back\\slash", "new\nline", "ü\u2028.json"]


@pytest.fixture
def trained():
    return torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3), torch.nn.BatchNorm2d(8)).eval()


@pytest.fixture
def command(capfd):
    def run(*arguments):
        capfd.readouterr()
        code = main(arguments)
        return code, *capfd.readouterr()

    return run


@pytest.fixture
def folder(tmp_path):
    for name in NAMES:
        (tmp_path / name).write_text(name)
    write_manifest(tmp_path / "model.onnx.sha256", NAMES)
    return tmp_path


def test_what_was_written_is_as_it_was(folder):
    assert read_manifest(folder / "model.onnx.sha256") == tuple(Entry(n, "ok") for n in NAMES)
    assert read_manifest(folder / "model.onnx") == read_manifest(folder / "model.onnx.sha256")


@pytest.mark.skipif(not shutil.which("sha256sum"), reason="there is no sha256sum")
def test_sha256sum_reads_it(folder):
    command = ["sha256sum", "--check", "--strict", "--quiet", "model.onnx.sha256"]
    assert subprocess.run(command, cwd=folder, check=False).returncode == 0
    (folder / NAMES[1]).write_text("changed")
    assert subprocess.run(command, cwd=folder, check=False, capture_output=True).returncode == 1


def test_changed_and_missing_files_are_told(folder):
    (folder / NAMES[0]).write_text("changed")
    (folder / NAMES[1]).unlink()
    states = [entry.state for entry in read_manifest(folder / "model.onnx")]
    assert states == ["changed", "missing", "ok", "ok", "ok"]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "no hash  name\n",
        f"{'a' * 63}  name\n",
        f"{'a' * 64}  ../name\n",
        f"{'a' * 64}  /etc/passwd\n",
        f"{'a' * 64}  ..\n",
        f"{'a' * 64}\n",
        b"\xff\xfe\n",
        f"{'a' * 64}  n\n" * 20_000,
    ],
)
def test_what_is_no_manifest_is_refused(text, tmp_path):
    content = text if isinstance(text, bytes) else text.encode()
    (tmp_path / "m.sha256").write_bytes(content)
    with pytest.raises(Refused):
        read_manifest(tmp_path / "m.sha256")


def test_there_is_none(tmp_path):
    with pytest.raises(Refused, match="no such file"):
        read_manifest(tmp_path / "model.onnx")


def test_a_conversion_has_one_of_all_its_files(trained, tmp_path):
    done = bnexport.convert(trained, tmp_path / "m.onnx", inputs=["Nx3x8x8"], external_data=True)
    listed = [entry.name for entry in read_manifest(tmp_path / "m.onnx.sha256")]
    published = {path.name for path in tmp_path.iterdir()}
    assert set(listed) == published - {"m.onnx.sha256"}
    assert {path.name for path in done.files} == published


def test_the_command_tells_and_exits(command, trained, tmp_path):
    bnexport.convert(trained, tmp_path / "m.onnx", inputs=["Nx3x8x8"])
    code, out, _ = command("verify", "--manifest", str(tmp_path / "m.onnx.sha256"))
    assert (code, out.split()) == (0, ["ok", "m.onnx", "ok", "m.onnx.report.json"])
    (tmp_path / "m.onnx").write_bytes(b"")
    code, out, _ = command("verify", "--manifest", str(tmp_path / "m.onnx"), "--json")
    told = json.loads(out)
    assert (code, told["ok"], told["files"][0]["state"]) == (1, False, "changed")


def test_it_is_asked_for_alone(command):
    assert command("verify", "--manifest", "m", "a.onnx")[0] == 2
    assert "Missing argument 'A' (or --manifest FILE)" in command("verify")[2]
