"""Rewrite: the ledger has one row a BatchNorm, by the module's name, with its fate."""

from __future__ import annotations

import random

import onnx_ir as ir
import pytest
from fuzz import draw
from graph_text import graph, ops

from bnexport.errors import ExportError
from bnexport.health import BatchNormFacts
from bnexport.rewrite import rewrite

BN = {"g": (6,), "b": (6,), "m": (6,), "v": (6,)}
TWO = (
    "(float[N,4,8,8] x) => (float[N,6,6,6] y) { a = Conv (x, W)"
    "  d = BatchNormalization (a, g, b, m, v)  e = Relu (d)  f = Sigmoid (d)  h = Add (e, f)"
    "  y = BatchNormalization (h, b, g, m, v) }"
)


def facts(name: str) -> BatchNormFacts:
    return BatchNormFacts(
        name=name,
        kind="BatchNorm2d",
        channels=6,
        eps=1e-5,
        momentum=0.1,
        affine=True,
        training=False,
        tracked=1,
        mean_range=None,
        var_range=None,
        weight_range=None,
        problems=(),
    )


def two():
    model = graph(TWO, W=(6, 4, 3, 3), **BN)
    for node, name in zip(model.graph, ["stem.conv", "stem.bn", "", "", "", "last"], strict=True):
        node.metadata_props["bnexport.module"] = name
    return model


def test_the_ledger_has_a_row_for_each_module():
    result = rewrite(two(), [facts("stem.bn"), facts("last"), facts("head.bn")])
    rows = {row.name: row for row in result.ledger.rows}
    assert (rows["stem.bn"].fate, rows["stem.bn"].into) == ("absorbed", "stem.conv")
    assert (rows["last"].fate, bool(rows["last"].reason)) == ("kept", True)
    assert rows["head.bn"].fate == "unused"
    assert str(result.ledger) == "3 BatchNorm: 1 absorbed, 1 kept, 1 unused"


@pytest.mark.parametrize("seed", range(40))
def test_every_batch_norm_of_a_file_has_a_row_of_its_own(seed):
    model = ir.from_proto(draw(random.Random(seed)).model())
    there = [node for node in model.graph if node.op_type == "BatchNormalization"]
    names = [node.outputs[0].name for node in there]
    rows = [row.name for row in rewrite(model, simplify=False).ledger.rows]
    assert set(names) <= set(
        rows
    )  # one that was written by hand may have become a BatchNormalization
    assert len(set(rows)) == len(rows)


def test_the_marks_that_tell_batch_norms_apart_are_not_published():
    model = rewrite(two(), simplify=False).model
    assert not [n for n in model.graph if "bnexport.origin" in n.metadata_props]


def test_what_is_kept_is_in_the_graph_and_nothing_else():
    result = rewrite(two(), [facts("stem.bn"), facts("last")])
    assert ops(result.model).count("BatchNormalization") == len(result.ledger.kept) == 1


def test_folding_can_be_switched_off():
    result = rewrite(two(), [facts("stem.bn"), facts("last")], fold=False)
    assert ops(result.model).count("BatchNormalization") == 2
    assert {row.reason for row in result.ledger.rows} == {"folding was switched off"}


def test_every_pass_is_accounted_for():
    result = rewrite(two())
    by_name = {run.name: run for run in result.passes}
    assert by_name["Fold"].modified
    assert by_name["Fold"].nodes_after < by_name["Fold"].nodes_before


def test_a_batch_norm_that_trains_is_refused():
    text = (
        "(float[N,4,8,8] x) => (float[N,6,6,6] y) { a = Conv (x, W)"
        "  y, p, q = BatchNormalization <training_mode=1> (a, g, b, m, v) }"
    )
    with pytest.raises(ExportError, match="training mode"):
        rewrite(graph(text, W=(6, 4, 3, 3), **BN))
