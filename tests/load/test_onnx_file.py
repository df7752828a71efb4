"""ONNX files: honest ones become a graph, the others one refusal each."""

import os

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import TensorProto, helper, numpy_helper

from bnexport.errors import Refused, UsageError
from bnexport.load import load
from bnexport.load.errors import Corrupt, Unsafe, Unsupported

RNG = np.random.default_rng(0)


def proto(nodes=None, weights=None, functions=(), domains=()):
    weights = {"W": RNG.standard_normal((4, 3))} if weights is None else weights
    nodes = [helper.make_node("MatMul", ["x", "W"], ["y"], name="mm")] if nodes is None else nodes
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 3])],
        [numpy_helper.from_array(np.float32(w), name) for name, w in weights.items()],
    )
    opsets = [helper.make_opsetid("", 18), *(helper.make_opsetid(d, 1) for d in domains)]
    return helper.make_model(graph, opset_imports=opsets, functions=functions, ir_version=10)


@pytest.fixture
def written(tmp_path):
    def write(model, name="model.bin"):
        path = tmp_path / name
        path.write_bytes(model.SerializeToString())
        return path

    return write


def external(model, **fields):
    """Point the first weight at a file."""
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in fields.items():
        tensor.external_data.add(key=key, value=str(value))
    return model


def test_a_graph_is_read_whatever_its_suffix(written):
    model = proto()
    loaded = load(written(model, "net.pt"))
    assert (loaded.format, loaded.name) == ("onnx", "net")
    assert isinstance(loaded.model, ir.Model)
    weight = loaded.model.graph.initializers["W"].const_value.numpy()
    assert np.array_equal(weight, numpy_helper.to_array(model.graph.initializer[0]))


def test_an_architecture_makes_no_sense_with_it(written):
    with pytest.raises(UsageError, match="ONNX"):
        load(written(proto()), arch="torch.nn:ReLU")


def test_external_data_beside_the_model_is_read(written, tmp_path):
    model = proto()
    data = model.graph.initializer[0].raw_data
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "w.bin").write_bytes(b"head" + data)
    path = written(external(model, location="data/w.bin", offset=4, length=len(data)))
    weight = load(path).model.graph.initializers["W"].const_value.numpy()
    assert weight.tobytes() == data


@pytest.mark.parametrize("location", ["../w.bin", "/etc/hostname", "a/../../w.bin", "", ".", "w\0"])
def test_external_data_outside_the_folder_is_refused(location, written, tmp_path):
    (tmp_path.parent / "w.bin").write_bytes(bytes(48))
    with pytest.raises(Unsafe, match="not inside the model's folder"):
        load(written(external(proto(), location=location)))


@pytest.mark.parametrize("link", ["symbolic", "hard", "folder"])
def test_links_are_not_followed(link, written, tmp_path):
    target = tmp_path / "elsewhere"
    target.mkdir()
    (target / "w.bin").write_bytes(bytes(48))
    location = "w.bin"
    if link == "symbolic":
        (tmp_path / "w.bin").symlink_to(target / "w.bin")
    elif link == "hard":
        os.link(target / "w.bin", tmp_path / "w.bin")
    else:
        (tmp_path / "folder").symlink_to(target)
        location = "folder/w.bin"
    with pytest.raises(Unsafe, match="link"):
        load(written(external(proto(), location=location)))


def test_a_pipe_as_external_data_is_not_waited_for(written, tmp_path):
    os.mkfifo(tmp_path / "w.bin")
    with pytest.raises(Unsafe, match="not a regular file"):
        load(written(external(proto(), location="w.bin")))


def test_missing_and_short_external_data(written, tmp_path):
    path = written(external(proto(), location="w.bin"))
    with pytest.raises(Corrupt, match=r"'w\.bin' is missing"):
        load(path)
    (tmp_path / "w.bin").write_bytes(bytes(40))
    with pytest.raises(Corrupt, match=r"ends at 48, 'w\.bin' at 40"):
        load(path)


def test_an_external_length_that_is_not_the_shapes(written, tmp_path):
    (tmp_path / "w.bin").write_bytes(bytes(480))
    with pytest.raises(Corrupt, match="its shape needs 48"):
        load(written(external(proto(), location="w.bin", length=480)))


def test_a_custom_operator_is_named_with_its_domain(written):
    node = helper.make_node("Fancy", ["x", "W"], ["y"], name="n7", domain="my.ops")
    with pytest.raises(Unsupported, match=r"'n7' \(Fancy\).*domain 'my\.ops'"):
        load(written(proto([node], domains=["my.ops"])))


def test_a_custom_operator_in_a_branch_is_found(written):
    inner = helper.make_node("Fancy", ["x"], ["z"], name="deep", domain="my.ops")
    value = helper.make_tensor_value_info("z", TensorProto.FLOAT, None)
    branch = helper.make_graph([inner], "b", [], [value])
    node = helper.make_node("If", ["x"], ["y"], then_branch=branch, else_branch=branch)
    with pytest.raises(Unsupported, match="deep"):
        load(written(proto([node], domains=["my.ops"])))


def test_an_engine_node_is_refused(written):
    node = helper.make_node("EPContext", ["x"], ["y"], domain="com.microsoft")
    with pytest.raises(Unsafe, match="engine"):
        load(written(proto([node], domains=["com.microsoft"])))


def test_nan_weights_are_named(written):
    weights = {"W": np.full((4, 3), np.nan), "V": np.ones(3)}
    with pytest.raises(Refused, match="'W' holds 12 NaN"):
        load(written(proto(weights=weights)))


def test_infinity_may_be_meant(written):
    load(written(proto(weights={"W": np.full((4, 3), -np.inf)})))


def test_local_functions_are_inlined(written):
    body = [helper.make_node("MatMul", ["a", "b"], ["c"])]
    ids = [helper.make_opsetid("", 18)]
    function = helper.make_function("local", "Mine", ["a", "b"], ["c"], body, ids)
    node = helper.make_node("Mine", ["x", "W"], ["y"], domain="local")
    loaded = load(written(proto([node], functions=[function], domains=["local"])))
    assert [node.op_type for node in loaded.model.graph] == ["MatMul"]


def test_functions_that_call_themselves_are_refused(written):
    body = [helper.make_node("Mine", ["a"], ["c"], domain="local")]
    ids = [helper.make_opsetid("local", 1)]
    function = helper.make_function("local", "Mine", ["a"], ["c"], body, ids)
    node = helper.make_node("Mine", ["x"], ["y"], domain="local")
    with pytest.raises(Corrupt, match="'Mine' calls itself"):
        load(written(proto([node], functions=[function], domains=["local"])))


def break_shape(model):
    model.graph.initializer[0].dims[0] = 5


def negative(model):
    model.graph.initializer[0].dims[0] = -4


def twice(model):
    model.graph.initializer.append(model.graph.initializer[0])


def cycle(model):
    model.graph.node[0].input[0] = "y"


def unfed(model):
    model.graph.output[0].name = "z"


def again(model):
    model.graph.node.append(model.graph.node[0])


def implausible(model):
    model.graph.input[0].type.tensor_type.shape.dim[1].dim_value = -7


def misplaced(model):
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_type = TensorProto.FLOAT8E4M3FN
    tensor.float_data.extend([1.0] * 12)


def untyped(model):
    model.graph.node[0].attribute.add(name="a")


HARMS = [untyped, break_shape, negative, twice, cycle, unfed, again, implausible, misplaced]


@pytest.mark.parametrize("harm", HARMS)
def test_malformed_graphs_are_corrupt(harm, written):
    model = proto()
    harm(model)
    with pytest.raises(Corrupt):
        load(written(model))


@pytest.mark.parametrize("version", [3, 999])
def test_opsets_that_are_not_read(version, written):
    model = proto()
    model.opset_import[0].version = version
    with pytest.raises(Unsupported, match=f"opset {version}"):
        load(written(model))


def test_a_graph_without_nodes_holds_no_layer(written):
    with pytest.raises(Refused, match="holds no layer"):
        load(written(proto([])))


def test_a_truncated_file_is_called_so(written):
    path = written(proto())
    path.write_bytes(path.read_bytes()[:60])
    with pytest.raises(Corrupt, match="truncated or damaged ONNX"):
        load(path)


def test_the_checker_accepts_what_is_handed_on(written, tmp_path):
    model = proto()
    data = model.graph.initializer[0].raw_data
    (tmp_path / "w.bin").write_bytes(data)
    loaded = load(written(external(model, location="w.bin", length=len(data))))
    onnx.checker.check_model(ir.to_proto(loaded.model), full_check=True)


def test_an_attribute_name_that_is_no_text_is_corrupt(written):
    model = proto()
    model.graph.node[0].attribute.append(helper.make_attribute("QQQQ", 1))
    path = written(model)
    path.write_bytes(path.read_bytes().replace(b"QQQQ", b"\xff\xfe\xff\xfe"))
    with pytest.raises(Corrupt, match="a name that is no text"):
        load(path)


@pytest.mark.parametrize("field", ["op_type", "name", "domain", "doc_string"])
def test_text_that_is_no_text_is_corrupt(field, written):
    model = proto()
    setattr(model.graph.node[0], field, "QQQQ")
    path = written(model)
    path.write_bytes(path.read_bytes().replace(b"QQQQ", b"\xff\xfe\xff\xfe"))
    with pytest.raises(Refused):
        load(path)


def test_a_location_that_is_no_text_is_corrupt(written):
    path = written(external(proto(), location="QQQQ.bin"))
    path.write_bytes(path.read_bytes().replace(b"QQQQ", b"\xff\xfe\xff\xfe"))
    with pytest.raises(Corrupt, match="malformed external data"):
        load(path)
