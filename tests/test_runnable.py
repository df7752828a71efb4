import onnx
import pytest
import torch
from torch import nn

from bnexport.errors import Refused, UsageError
from bnexport.runnable import ENGINE, MODULE, ONNX, SCRIPT, Reading, open_model, open_models
from bnexport.targets.tensorrt import EngineInfo, TensorInfo, write_sidecar

GRAPH = """<ir_version: 8, opset_import: ["" : 18]>
g (float[N,3,W] x, int64[4] i) => (float[N,3,W] y) {y = Relu(x)}"""


class Two(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("one", torch.ones(()))

    def forward(self, left, right, scale=None):
        return left + right if scale is None else scale * (left + right)


@pytest.fixture
def graph(tmp_path):
    onnx.save(onnx.parser.parse_model(GRAPH), tmp_path / "g.onnx")
    return tmp_path / "g.onnx"


@pytest.fixture
def engine(tmp_path):
    path = tmp_path / "g.engine"
    path.write_bytes(b"ptrt plan")
    info = EngineInfo(
        flavour="tensorrt",
        version="10.3",
        targets=("sm_89",),
        assumed="",
        profiles={},
        precision="float32",
        tf32=False,
        inputs=(TensorInfo("x", "float16", (-1, 3)),),
        outputs=(TensorInfo("y", "float16", (-1, 3)),),
        layers={},
        scale_layers=0,
        warnings=(),
        build_seconds=0.0,
        bytes=9,
    )
    write_sidecar(path, info)
    return path


def declared(model):
    return [(each.name, each.dtype, each.shape) for each in model.declared()]


def test_an_onnx_file_declares_its_inputs(graph):
    model = open_model(graph, Reading())
    assert (model.kind, model.name) == (ONNX, "g.onnx")
    assert declared(model) == [("x", "float32", (None, 3, None)), ("i", "int64", (4,))]


def test_an_engine_declares_what_its_sidecar_says(engine):
    model = open_model(engine, Reading())
    assert model.kind == ENGINE
    assert declared(model) == [("x", "float16", (None, 3))]


def test_an_engine_without_its_sidecar_is_refused(engine):
    engine.with_name("g.engine.json").unlink()
    with pytest.raises(Refused, match="not beside it"):
        open_model(engine, Reading())


def test_a_module_names_its_parameters():
    model = open_model(Two(), Reading())
    assert model.kind == MODULE
    assert declared(model) == [("left", "", None), ("right", "", None)]
    assert model.known() == ("left", "right", "scale")


def test_inputs_of_a_module_go_to_the_parameters_that_they_name():
    plain = open_model(Two(), Reading()).plain(("right", "left", "scale"))
    assert plain.inputs == ("right", "left", "scale")


def test_other_names_are_taken_by_their_places():
    assert open_model(Two(), Reading()).plain(("a", "b")).inputs == ("left", "right")


@pytest.mark.parametrize("names", [("a",), ("a", "b", "c", "d")])
def test_another_number_of_inputs_is_an_error(names):
    with pytest.raises(UsageError, match="takes other inputs"):
        open_model(Two(), Reading()).plain(names)


def test_the_callers_module_is_copied():
    net = nn.Sequential(nn.Linear(3, 3), nn.Dropout()).train()
    plain = open_model(net, Reading()).plain(("x",))
    assert not any(each.training for each in plain.modules())
    assert all(each.training for each in net.modules())


def test_the_callers_script_is_copied():
    net = torch.jit.script(nn.Dropout()).train()
    model = open_model(net, Reading())
    assert model.kind == SCRIPT
    assert not model.plain(("input",)).training
    assert net.training


def test_an_architecture_alone(graph):
    reading = Reading("torch.nn:BatchNorm1d", {"num_features": 3})
    assert open_model(None, reading).name == "torch.nn:BatchNorm1d"
    found = [each.name for each in open_models([graph], reading)]
    assert found == ["torch.nn:BatchNorm1d", "g.onnx"]


def test_an_architecture_beside_one_file_that_has_its_own_is_an_error(graph):
    with pytest.raises(UsageError, match=r"g\.onnx is a whole model"):
        open_model(graph, Reading("torch.nn:BatchNorm1d", {"num_features": 3}))


def test_models_of_one_name_are_told_apart(graph, tmp_path):
    (tmp_path / "other").mkdir()
    other = tmp_path / "other" / "g.onnx"
    other.write_bytes(graph.read_bytes())
    names = [each.name for each in open_models([graph, other, graph], Reading())]
    assert names == [str(graph), str(other), f"{graph} (2)"]


def test_a_name_that_is_not_shared_stays(graph):
    names = [each.name for each in open_models([Two(), graph, Two()], Reading())]
    assert names == ["two", "g.onnx", "two (2)"]


def test_nothing_is_an_error():
    with pytest.raises(UsageError, match="no model"):
        open_model(None, Reading())


def test_text_is_refused(tmp_path):
    (tmp_path / "notes.txt").write_text("not a model\n")
    with pytest.raises(Refused, match="a text file"):
        open_model(tmp_path / "notes.txt", Reading())


def test_a_damaged_archive_is_refused(tmp_path):
    (tmp_path / "net.pt").write_bytes(b"PK\x03\x04" + bytes(100))
    with pytest.raises(Refused, match="damaged"):
        open_model(tmp_path / "net.pt", Reading("torch.nn:ReLU"))
