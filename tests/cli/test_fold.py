import json

import numpy as np
import onnx
import pytest
from graph_text import graph

import bnexport as product

CONSTANTS = {"W": (6, 4, 3, 3), "g": (6,), "b": (6,), "m": (6,), "v": (6,)}


@pytest.fixture
def file(tmp_path):
    """An ONNX file that no PyTorch wrote."""
    import onnx_ir as ir

    text = "(float[N,4,8,8] x) => (float[N,6,6,6] y) { a = Conv (x, W)  y = BatchNormalization (a, g, b, m, v) }"
    path = tmp_path / "net.onnx"
    onnx.save(ir.to_proto(graph(text, **CONSTANTS)), path)
    return path


def test_the_folded_file_lies_beside_the_one_given(bnexport, file):
    outcome = bnexport("fold", str(file))
    assert outcome.code == 0
    folded = onnx.load(file.with_name("net.folded.onnx"))
    assert [node.op_type for node in folded.graph.node] == ["Conv"]
    assert "BatchNorm 1: 1 absorbed\n" in outcome.out


def test_the_ledger_is_printed_on_demand(bnexport, file):
    assert "absorbed into a" in bnexport("fold", str(file), "--ledger").out


def test_the_document_is_a_conversion_s(bnexport, file, tmp_path):
    outcome = bnexport("fold", str(file), "-o", str(tmp_path / "out.onnx"), "--json")
    report = json.loads(outcome.out)
    assert report["ledger"]["totals"] == {"absorbed": 1}
    assert report["parity"]["ok"]


def test_the_file_itself_is_never_overwritten(bnexport, file):
    before = file.read_bytes()
    outcome = bnexport("fold", str(file), "-o", str(file))
    assert outcome.code == 2
    assert "it is the model itself" in outcome.err
    assert file.read_bytes() == before


def test_what_is_no_onnx_file_is_sent_to_convert(bnexport, tmp_path):
    path = tmp_path / "weights.npz"
    np.savez(path, a=np.ones(3))
    assert bnexport("fold", str(path)).code != 0
    import torch

    torch.save(torch.nn.Linear(2, 2), tmp_path / "net.pt")
    outcome = bnexport("fold", str(tmp_path / "net.pt"))
    assert outcome.code == 2
    assert "error: net.pt is no ONNX file\n  it is a pickled module\n" in outcome.err


def test_the_api_takes_samples(file, tmp_path):
    samples = tmp_path / "samples.npz"
    np.savez(samples, x=np.random.default_rng(0).standard_normal((9, 4, 8, 8)).astype(np.float32))
    result = product.fold(file, tmp_path / "out.onnx", inputs_from=samples, batch=(1, 3))
    assert result.ok
    assert result.ledger.rows[0].fate == "absorbed"
