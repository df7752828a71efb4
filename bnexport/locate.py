"""After a failed verification: the first value of the file that is wrong, and the layer that it comes from.

The file is held against what the module becomes here. Where those agree, what the module becomes is held against
the module itself, layer by layer: then it is the exporter that is wrong.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import onnx
import onnx_ir as ir

from bnexport.build import Artifact
from bnexport.capture import capture
from bnexport.errors import Refused
from bnexport.inputs import Examples
from bnexport.load.limits import in_force
from bnexport.load.onnx_file import read_onnx
from bnexport.parity.arrays import Arrays, from_torch
from bnexport.parity.blame import blamed
from bnexport.parity.extremes import extreme_inputs
from bnexport.parity.graph_side import GraphSide
from bnexport.parity.localise import common_values, first_failing, first_wrong
from bnexport.parity.result import Check, Parity, Wrong
from bnexport.parity.runner import FrozenBatch, RunFailed
from bnexport.parity.torch_runner import TorchRunner
from bnexport.parity.torch_side import TorchSide, boundaries
from bnexport.rewrite import rewrite
from bnexport.subject import Intended, Subject

__all__ = ["located_after_build", "located_by_graph", "located_by_module"]

# A file of which fewer values than this share have namesakes was made in another way: they would mean other things.
ALIKE = 0.5

_OTHER_NAMES = (
    "the layer cannot be told: the file's values have other names than bnexport gives them"
)
_NOWHERE = (
    "with the optimisers of ONNX Runtime off every output agrees: "
    "one of them is at fault, the outputs are not in their order, or it is a matter of rounding"
)
_EXPORTER = "PyTorch's exporter translates it wrongly: "
_MARK_ALL = "--trt-outputs mark all --onnx-outputs mark all --fail-fast"

Found = Wrong | str


def located_by_graph(
    parity: Parity, file: Path, right: Callable[[], onnx.ModelProto], examples: Examples
) -> Parity:
    """``parity`` with the place where the failure starts; as it is where nothing disagrees or the file has no graph.

    Args:
        parity: The verdict on ``file``.
        file: What was judged.
        right: Reads what it should be.
        examples: What the verdict was reached on.
    """

    def search(judged: GraphSide, opset: int | None, inputs: Arrays) -> Found:
        return _compared(judged, [GraphSide(right(), inputs=_names(examples))], inputs)

    return _located(parity, file, examples, search)


def located_by_module(parity: Parity, file: Path, meant: Intended) -> Parity:
    """As `located_by_graph`, of a file that was made of a module."""

    def search(judged: GraphSide, opset: int | None, inputs: Arrays) -> Found:
        found = by("auto", judged, opset, inputs)  # a file has the names of the road it went
        return by("export", judged, opset, inputs) if found == _OTHER_NAMES else found

    def by(road: str, judged: GraphSide, opset: int | None, inputs: Arrays) -> Found:
        graph = capture(meant.plain, meant.examples, opset, road=road).model
        names = _names(meant.examples)
        plain = GraphSide(ir.to_proto(graph), inputs=names)
        folded = GraphSide(ir.to_proto(rewrite(graph, meant.batch_norms).model), inputs=names)
        found = _compared(judged, [folded, plain], inputs)
        if isinstance(found, Wrong) or found == _OTHER_NAMES:
            return found
        return _mistranslated(plain, meant, inputs) or found

    return _located(parity, file, meant.examples, search)


def located_after_build(parity: Parity, subject: Subject, built: Sequence[Artifact]) -> Parity:
    """As `located_by_module`, of what a conversion built; of an engine, the command that compares its layers."""
    file = next((each.path for each in built if each.target == "onnx"), None)
    engines = [each for each in parity.failures if each.runtime.startswith("TensorRT")]
    if file is None or subject.plain is None:
        return parity
    others = [each for each in parity.failures if _of_a_file(each) and each not in engines]
    if engines and not others:
        return replace(parity, located=_by_hand(engines[0], file.name))
    return located_by_module(parity, file, Intended.of(subject))


def _by_hand(check: Check, file: str) -> str:
    """Polygraphy can mark the layers of an engine as outputs as it builds one; a finished engine has none."""
    rtx = "POLYGRAPHY_USE_TENSORRT_RTX=1 " if check.runtime.startswith("TensorRT-RTX") else ""
    command = f"{rtx}polygraphy run {file} --trt --onnxrt {_MARK_ALL}"
    return (
        f"the engine alone: the ONNX file that it was built from agrees. Layer by layer: {command}"
    )


def _located(
    parity: Parity,
    file: Path,
    examples: Examples,
    search: Callable[[GraphSide, int | None, Arrays], Found],
) -> Parity:
    failing = [check for check in parity.failures if _of_a_file(check)]
    model = _graph(file) if failing else None
    if model is None:
        return parity
    first, judged = failing[0], GraphSide(model, inputs=_names(examples))
    if len(judged.inputs) != len(examples.specs):
        return parity  # which the check has said
    usual = from_torch(examples.batch(first.batch))
    inputs = extreme_inputs(examples, first.batch).get(first.inputs, usual)
    try:
        found: Found | None = first_failing(judged, inputs)
        found = found or search(judged, _opset(model), inputs)
    except FrozenBatch:
        return parity  # the check has said so, and no layer is at fault
    except RunFailed as failure:
        return replace(parity, located=f"the search for the layer failed: {failure}")
    if found == _NOWHERE and not math.isfinite(first.max_abs):
        return parity  # an output that is missing, or of another type: its values are right
    return replace(parity, located=str(found), origin=found if isinstance(found, Wrong) else None)


def _names(examples: Examples) -> list[str]:
    return [spec.name for spec in examples.specs]


def _of_a_file(check: Check) -> bool:
    """Whether it is a disagreement, and not the module's own: that has no file."""
    return check.kind == "agreement" and not check.runtime.startswith(f"{TorchRunner.name} ")


def _compared(judged: GraphSide, candidates: Sequence[GraphSide], inputs: Arrays) -> Found:
    shares = [len(common_values(side, judged)) / max(1, len(judged.makers)) for side in candidates]
    if max(shares) < ALIKE:
        return _OTHER_NAMES
    right = candidates[shares.index(max(shares))]
    names = common_values(right, judged)
    wrong = first_wrong(right, judged, names, inputs)
    return blamed(wrong, right, judged, names, inputs) if wrong else _NOWHERE


def _mistranslated(plain: GraphSide, meant: Intended, inputs: Arrays) -> Wrong | None:
    """The first layer whose output in the graph as captured is not what the module gives."""
    reference = meant.reference()
    wide, own = reference.runner, reference.rounding
    if not isinstance(wide, TorchRunner) or not isinstance(own, TorchRunner):
        return None
    layers = boundaries(plain, own, inputs)
    wrong = first_wrong(TorchSide(wide, own, layers), plain, list(layers), inputs)
    if wrong is None:
        return None
    return replace(wrong, layer=layers[wrong.value], detail=_EXPORTER + wrong.detail)


def _graph(file: Path) -> onnx.ModelProto | None:
    try:
        return read_onnx(file, in_force())
    except Refused:  # another kind of file
        return None


def _opset(model: onnx.ModelProto) -> int | None:
    return next(
        (each.version for each in model.opset_import if each.domain in ("", "ai.onnx")), None
    )
