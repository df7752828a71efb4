"""What a file holds, told without loading it: every kind, and thousands of hostile ones."""

import contextlib
import json
import sys

import corruption
import onnx
import pytest
import safetensors.torch
import torch
from hostile import gadgets, graphs, pickles
from onnx.parser import parse_model
from torch import nn

from bnexport.cli import main
from bnexport.contents import Risk, contents_of
from bnexport.errors import BnexportError, Refused
from bnexport.load import load


@pytest.fixture
def net():
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU())


def shapes(found):
    return {each.name: (each.dtype, each.shape, each.bytes) for each in found.tensors}


@pytest.mark.parametrize("zipped", [True, False])
def test_a_module(zipped, net, tmp_path):
    torch.save(net, tmp_path / "m.pt", _use_new_zipfile_serialization=zipped)
    found = contents_of(tmp_path / "m.pt")
    assert found.risks == ()
    assert found.kind == ("archive of torch.save" if zipped else "stream of torch before 1.6")
    told = shapes(found)
    assert told["0.weight"] == ("float32", (4, 3, 3, 3), 432)
    assert told["1.num_batches_tracked"] == ("int64", (), 8)
    assert told.keys() == net.state_dict().keys()
    standing = {each.name.rsplit(".", 1)[-1]: each.standing for each in found.names}
    assert (standing["BatchNorm2d"], standing["OrderedDict"]) == ("layer", "plain")


def test_a_checkpoint(net, tmp_path):
    net = net.half()
    torch.save({"state_dict": net.state_dict(), "epoch": 3}, tmp_path / "m.pt")
    found = contents_of(tmp_path / "m.pt")
    assert found.risks == ()
    assert shapes(found)["state_dict.0.weight"] == ("float16", (4, 3, 3, 3), 216)


def test_safetensors(net, tmp_path):
    path = tmp_path / "m.safetensors"
    safetensors.torch.save_file(net.state_dict(), path, {"by": "us"})
    found = contents_of(path)
    assert (found.kind, found.facts["metadata"], found.risks) == ("safetensors", {"by": "us"}, ())
    assert shapes(found)["0.weight"] == ("F32", (4, 3, 3, 3), 432)
    path.write_bytes(path.read_bytes()[:-4])
    assert contents_of(path).risks[0].severity == "danger"


def test_onnx(tmp_path):
    head = (
        '<ir_version: 8, opset_import: ["" : 17, "mine" : 1]> n (float[N, 2] x) => (float[N, 2] y)'
    )
    body = "<float[2] w = {1, 2}> { h = Mul(x, w) y = mine.Op(h) }"
    onnx.save(parse_model(head + body), tmp_path / "m.onnx")
    found = contents_of(tmp_path / "m.onnx")
    assert found.facts["operators"] == {"Mul": 1, "mine::Op": 1}
    assert found.facts["opsets"] == {"ai.onnx": 17, "mine": 1}
    assert any("operators of 'mine', a library" in risk.text for risk in found.risks)


def test_no_weight_is_read(net, tmp_path):
    """A record that is damaged, which reading would find, is told all the same."""
    path = tmp_path / "m.pt"
    torch.save(net.state_dict(), path)
    weight = net[0].weight.detach().numpy().tobytes()
    path.write_bytes(path.read_bytes().replace(weight, bytes(len(weight))))
    with pytest.raises(BnexportError, match="damaged"):
        load(path, arch="torch.nn:Flatten")
    assert sum(each.bytes for each in contents_of(path).tensors) == 520


def test_hooks_and_replaced_methods_are_dangers(net, tmp_path):
    net.register_forward_hook(torch.nn.functional.relu)
    vars(net[0])["forward"] = torch.nn.functional.relu
    torch.save(net, tmp_path / "m.pt")
    texts = [
        risk.text for risk in contents_of(tmp_path / "m.pt").risks if risk.severity == "danger"
    ]
    assert any("carries hooks in _forward_hooks" in text for text in texts)
    assert any("Conv2d has its forward replaced" in text for text in texts)


def test_no_hostile_file_is_called_harmless(tmp_path):
    """Each is refused, or told with a risk; none fires; nothing but our own errors comes."""
    before = set(sys.modules)
    path = tmp_path / "hostile.bin"
    for made in (pickles.every, gadgets.every):
        for index, hostile in enumerate(made(tmp_path)):
            if index % 7:
                continue
            pickles.written(hostile, path)
            try:
                risks = contents_of(path).risks
            except BnexportError:
                continue
            finally:
                assert not hostile.canary.exists(), hostile.name
            assert risks, hostile.name
    assert "subprocess" in before or "subprocess" not in sys.modules


def test_hostile_graphs(tmp_path):
    for graph in graphs.every(tmp_path):
        try:
            risks = contents_of(graph.path).risks
        except Refused:
            continue
        finally:
            assert not graph.canary.exists(), graph.name
        assert risks or graph.name == "branches without end", graph.name


def test_a_call_whose_result_is_thrown_away_is_told(tmp_path):
    import zipfile

    with zipfile.ZipFile(tmp_path / "m.pt", "w") as archive:
        archive.writestr("m/data.pkl", b"\x80\x02cos\nsystem\nX\x04\x00\x00\x00true\x85R0}.")
    assert contents_of(tmp_path / "m.pt").risks == (
        Risk("danger", "it asks to call os.system: no model needs it"),
    )


@pytest.mark.parametrize(("fail_on", "code"), [("never", 0), ("warning", 1), ("error", 0)])
def test_the_exit_code_is_asked_for(fail_on, code, tmp_path, capfd):
    class Own(nn.Module):
        pass

    Own.__module__, Own.__qualname__ = "nowhere", "Own"
    sys.modules["nowhere"] = type(sys)("nowhere")
    sys.modules["nowhere"].Own = Own
    try:
        torch.save(Own(), tmp_path / "m.pt")
    finally:
        del sys.modules["nowhere"]
    command = ["inspect", str(tmp_path / "m.pt"), "--contents", "--fail-on", fail_on, "--json"]
    assert main(command) == code
    document = json.loads(capfd.readouterr().out)
    assert document["schema"] == "bnexport.contents/1"
    assert [each["text"] for each in document["risks"]] == [
        "it needs classes of other packages: nowhere.Own (--allow, or --arch)"
    ]


def test_the_terminal(net, tmp_path, capfd):
    torch.save(net, tmp_path / "m.pt")
    assert main(["inspect", str(tmp_path / "m.pt"), "--contents"]) == 0
    said = capfd.readouterr()
    assert "4x3x3x3" in said.out + said.err
    assert "none: data alone" in said.out + said.err
    assert main(["inspect", "--contents", "--arch", "torch.nn:ReLU"]) == 2


@pytest.mark.parametrize("size", [0, 1, 50, 400])
def test_what_is_cut_off_is_refused(size, net, tmp_path):
    torch.save(net, tmp_path / "m.pt")
    data = (tmp_path / "m.pt").read_bytes()
    (tmp_path / "m.pt").write_bytes(data[:size])
    with pytest.raises(Refused):
        contents_of(tmp_path / "m.pt")


def test_corrupted_files_are_told_or_refused(tmp_path):
    files = corruption.good_files(tmp_path)
    models = {name: path for name, path in files.items() if not name.endswith(".json")}
    for seed in (*range(1000), 2806):
        kind, _, data = corruption.corrupted(seed, models)
        path = tmp_path / f"harmed.{kind}"
        path.write_bytes(data)
        with contextlib.suppress(BnexportError):
            json.dumps(contents_of(path).to_json())
