"""The sidecar says what an engine is and names its hash."""

import json

import pytest

from bnexport.disk import file_sha256
from bnexport.errors import OutputError, Refused
from bnexport.targets.tensorrt import EngineInfo, TensorInfo, read_sidecar, write_sidecar
from bnexport.targets.tensorrt.sidecar import Sidecar

INFO = EngineInfo(
    flavour="tensorrt_rtx",
    version="1.7",
    targets=("sm_89",),
    assumed="",
    profiles={"x": ((1, 3), (4, 3), (8, 3))},
    precision="float32",
    tf32=False,
    inputs=(TensorInfo("x", "float32", (-1, 3)),),
    outputs=(TensorInfo("y", "float32", (-1, 3)), TensorInfo("z", "int64", (-1,))),
    layers={"ACTIVATION": 1},
    scale_layers=0,
    warnings=(),
    build_seconds=0.5,
    bytes=5,
)


@pytest.fixture
def engine(tmp_path):
    path = tmp_path / "m.engine"
    path.write_bytes(b"plan!")
    return path


def test_it_lies_beside_the_engine_and_names_its_hash(engine):
    path = write_sidecar(engine, INFO)
    data = json.loads(path.read_text())
    assert path.name == "m.engine.json"
    assert data["schema"] == "bnexport.engine/1"
    assert data["engine_sha256"] == file_sha256(engine)


def test_facts_and_extras_are_json(engine):
    write_sidecar(engine, INFO, onnx_sha256="ab", parity={"worst": float("nan")})
    data = read_sidecar(engine)
    assert data["profiles"] == {"x": [[1, 3], [4, 3], [8, 3]]}
    assert data["inputs"] == [{"name": "x", "dtype": "float32", "shape": [-1, 3]}]
    assert (data["onnx_sha256"], data["parity"]) == ("ab", {"worst": "NaN"})


def test_a_runner_reads_back_what_it_needs(engine):
    write_sidecar(engine, INFO)
    found = Sidecar.read(engine)
    assert (found.flavour, found.version, found.precision) == ("tensorrt_rtx", "1.7", "float32")
    assert (found.inputs, found.outputs, found.targets) == (("x",), ("y", "z"), ("sm_89",))


def test_an_engine_without_a_sidecar_is_refused(engine):
    with pytest.raises(Refused, match=r"native code.*m\.engine\.json"):
        read_sidecar(engine)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"schema": "bnexport.engine/2"}', "\xff"])
def test_what_is_no_sidecar_is_refused(engine, text):
    engine.with_name("m.engine.json").write_text(text, encoding="latin-1")
    with pytest.raises(Refused, match=r"m\.engine\.json"):
        read_sidecar(engine)


@pytest.mark.parametrize("key", ["engine_sha256", "inputs", "targets", "flavour"])
def test_a_sidecar_that_lacks_a_fact_is_refused(engine, key):
    path = write_sidecar(engine, INFO)
    data = json.loads(path.read_text())
    del data[key]
    path.write_text(json.dumps(data))
    with pytest.raises(Refused, match=key):
        Sidecar.read(engine)


def test_a_missing_engine_is_an_output_error(tmp_path):
    with pytest.raises(OutputError):
        write_sidecar(tmp_path / "m.engine", INFO)
