"""After a failed verification: the first value of the file that is wrong, and the layer that it comes from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import onnx
import onnx_ir as ir
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

from bnexport.capture import capture
from bnexport.inputs import Examples
from bnexport.parity.arrays import from_torch
from bnexport.parity.graph_side import GraphSide
from bnexport.parity.localise import common_values, first_wrong
from bnexport.parity.result import Parity
from bnexport.parity.runner import RunFailed
from bnexport.rewrite import rewrite
from bnexport.subject import Intended

__all__ = ["graphs_of", "located"]

# A file of which fewer values than this share have namesakes was made in another way: they would mean other things.
ALIKE = 0.5

Graphs = Callable[[int | None], Sequence[onnx.ModelProto]]


def located(parity: Parity, file: Path, graphs: Graphs, examples: Examples) -> Parity:
    """``parity`` with the place where the failure starts; as it is where nothing disagrees or the file has no graph.

    Args:
        parity: The verdict on ``file``.
        file: What was judged.
        graphs: Given an opset, the graphs that the file may be held against; asked only for a failure.
        examples: What the verdict was reached on.
    """
    failing = [c for c in parity.failures if c.kind == "agreement" and "PyTorch" not in c.runtime]
    model = _graph(file) if failing else None
    if model is None:
        return parity
    judged = GraphSide(model)
    right = _likest(judged, [GraphSide(each) for each in graphs(_opset(model))])
    if right is None:
        return replace(parity, located=_OTHER_NAMES)
    try:
        wrong = first_wrong(right, judged, from_torch(examples.batch(failing[0].batch)))
    except RunFailed as failure:
        return replace(parity, located=f"the search for the layer failed: {failure}")
    return replace(parity, located=str(wrong) if wrong else _NOWHERE, origin=wrong)


_OTHER_NAMES = (
    "the layer cannot be told: the file's values have other names than bnexport gives them"
)
_NOWHERE = (
    "with the optimisers of ONNX Runtime off every output agrees: "
    "one of them is at fault, or the outputs are not in their order"
)


def graphs_of(meant: Intended) -> Graphs:
    """What the module becomes, folded and not: a file was made in one of these ways."""

    def made(opset: int | None) -> list[onnx.ModelProto]:
        graph = capture(meant.plain, meant.examples, opset).model
        plain = ir.to_proto(graph)
        return [ir.to_proto(rewrite(graph, meant.batch_norms).model), plain]

    return made


def _likest(judged: GraphSide, candidates: Sequence[GraphSide]) -> GraphSide | None:
    shares = [len(common_values(side, judged)) / max(1, len(judged.makers)) for side in candidates]
    best = max(range(len(shares)), key=shares.__getitem__, default=None)
    return candidates[best] if best is not None and shares[best] >= ALIKE else None


def _graph(file: Path) -> onnx.ModelProto | None:
    try:
        model = onnx.load_model(str(file))
    except (DecodeError, OSError, ValueError):
        return None
    return model if model.graph.output else None


def _opset(model: onnx.ModelProto) -> int | None:
    return next(
        (each.version for each in model.opset_import if each.domain in ("", "ai.onnx")), None
    )
