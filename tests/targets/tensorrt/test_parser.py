"""The parser's refusals name the operator, its place and the reason."""

import onnx
import pytest

from bnexport.errors import ExportError
from bnexport.targets.tensorrt import EngineOptions, build_engine

HEAD = '<ir_version: 10, opset_import: ["" : 20]> g '
REFUSED = {
    "indices": (
        "(float[N,3,8,8] x) => (float[N,3,4,4] y, int64[N,3,4,4] i)"
        "{ r = Relu (x) y, i = MaxPool <kernel_shape = [2,2], strides = [2,2]> (r) }",
        r"operator MaxPool \(value 'y'\): .*outputs for MaxPool",
    ),
    "custom": (
        "(float[N,3] x) => (float[N,3] y) { y = Foo (x) }",
        r"operator Foo \(value 'y'\): it is no operator of TensorRT",
    ),
    "unexplained": (
        "(float[1,12,4] x) => (float[1,3,4,4] y)"
        "{ s = Constant <value_ints = [4,4]> () b = Constant <value_ints = [2,2]> ()"
        " y = Col2Im (x, s, b) }",
        r"operator Col2Im \(value 'y'\): it is not supported",
    ),
    "assertion": (
        "(float[N,3,8,8] x, int64[1] a) => (float[N,3,1,1] y) { y = ReduceMean (x, a) }",
        r"ReduceMean \(value 'y'\): Axis input must resolve to a build-time constant",
    ),
    "quoted": (
        "(string[N,4] x) => (string[N,4] y) { y = Identity (x) }",
        "Failed to convert ONNX date type",
    ),
}


@pytest.mark.parametrize(("text", "message"), REFUSED.values(), ids=REFUSED)
def test_a_refusal_is_explained(rtx, write, tmp_path, text, message):
    options = EngineOptions((1, 1, 1), sm=(89,))
    with pytest.raises(ExportError, match=message) as caught:
        build_engine(write(HEAD + text), tmp_path / "m.engine", rtx, options)
    assert "\n" not in str(caught.value)
    assert "--target onnx" in caught.value.remedy


def test_the_module_is_named_where_the_graph_knows_it(rtx, write, tmp_path):
    path = write(HEAD + "(float[N,3] x) => (float[N,3] y) { y = Foo (x) }")
    proto = onnx.load(path)
    scopes = proto.graph.node[0].metadata_props.add()
    scopes.key, scopes.value = "pkg.torch.onnx.name_scopes", "['', 'layer4', 'layer4.foo', 'foo_1']"
    onnx.save(proto, path)
    with pytest.raises(ExportError, match=r"module layer4\.foo, value 'y'"):
        build_engine(path, tmp_path / "m.engine", rtx, EngineOptions((1, 1, 1), sm=(89,)))


def test_a_file_that_is_no_onnx_is_named(rtx, tmp_path):
    (tmp_path / "text.onnx").write_bytes(b"not a model")
    with pytest.raises(ExportError, match=r"cannot read text\.onnx"):
        build_engine(
            tmp_path / "text.onnx", tmp_path / "m.engine", rtx, EngineOptions((1, 1, 1), sm=(89,))
        )
