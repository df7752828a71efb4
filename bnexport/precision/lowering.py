"""The station between rewriting and building: the graph in the precision that was asked for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import onnx_ir as ir

from bnexport.errors import ExportError, UsageError
from bnexport.events import Observer, silent, stage
from bnexport.passes.graphs import InferShapes
from bnexport.passes.graphs.half import LowerPrecision, Single
from bnexport.passes.graphs.half_rules import TITLES
from bnexport.precision.mixed import Sample, Stays, find_stays

__all__ = ["PRECISIONS", "Lowered", "Precision", "check_precision", "default_opset", "lower"]

PRECISIONS = ("fp32", "fp16", "bf16", "mixed")
_DTYPES = {
    "fp16": ir.DataType.FLOAT16,
    "mixed": ir.DataType.FLOAT16,
    "bf16": ir.DataType.BFLOAT16,
}
_BF16_OPSET = 22
_CONVOLUTIONS = ("Conv", "ConvTranspose")


@dataclass(frozen=True)
class Precision:
    """What was asked for, and what had to stay in float32.

    Attributes:
        asked: ``fp16``, ``bf16`` or ``mixed``.
        dtype: ``float16`` or ``bfloat16``.
        io: ``float32``, or the half type where the inputs and outputs are of it, too.
        nodes: How many nodes compute in half.
        stays: Those that do not.
        trials: How many sets of nodes `mixed` tried.
    """

    asked: str
    dtype: str
    io: str
    nodes: int
    stays: tuple[Single, ...]
    trials: int = 0


@dataclass(frozen=True)
class Lowered:
    """The graph to build, and what was done to it; None: it is as it was."""

    model: ir.Model
    precision: Precision | None = None


def check_precision(asked: str | None, io_half: bool, targets: Sequence[str]) -> None:
    """Refuse what cannot be asked for.

    Raises:
        UsageError: It is not known, or not here, or leaves no half to give the inputs, or a target does not
            come by way of ONNX.
    """
    if asked == "int8":
        why = "quantisation needs calibration, which is a tool of its own"
        remedy = (
            "Quantise with NVIDIA ModelOpt, which writes Q/DQ into an ONNX file, and convert that"
        )
        raise UsageError("precision int8", why, remedy)
    if asked is not None and asked not in PRECISIONS:
        raise UsageError(f"precision {asked!r} is not known", "", f"Known: {', '.join(PRECISIONS)}")
    if io_half and asked not in _DTYPES:
        remedy = "Add --precision fp16, bf16 or mixed"
        raise UsageError("--io-half", "there is no half precision to give them", remedy)
    for target in targets if asked in _DTYPES else ():
        if target in ("pt2", "torchscript"):
            why = "precision is lowered in the ONNX graph"
            raise UsageError(
                f"--precision {asked} and target {target}", why, "Convert model.half()"
            )


def default_opset(opset: int | None, asked: str | None) -> int | None:
    """The first opset that has what the precision needs, unless one was named."""
    return _BF16_OPSET if opset is None and asked == "bf16" else opset


def lower(
    model: ir.Model,
    asked: str | None,
    sample: Sample,
    *,
    io_half: bool = False,
    observe: Observer = silent,
) -> Lowered:
    """Lower the rewritten graph, which is used up.

    Args:
        model: As rewritten, in float32.
        asked: One of `PRECISIONS`; None: the model's own.
        sample: What `mixed` tries the layers on.
        io_half: Whether inputs and outputs become half, too.
        observe: Told of `mixed`'s trials.

    Raises:
        UsageError: The model is not in float32.
        ExportError: Nothing in it can be lowered.
    """
    if asked is None:
        return Lowered(model)
    _check_single(model, asked)
    if asked not in _DTYPES:
        return Lowered(model)
    with stage(observe, "lower"):
        return _lowered(model, asked, sample, io_half, observe)


def _lowered(
    model: ir.Model, asked: str, sample: Sample, io_half: bool, observe: Observer
) -> Lowered:
    dtype = _DTYPES[asked]
    InferShapes()(model)
    stays = find_stays(model, dtype, sample, observe) if asked == "mixed" else Stays()
    singles: list[Single] = []
    done = LowerPrecision(dtype, stays.reason, record=singles.append, io=io_half)(model)
    _check_opset(model, dtype, singles)
    if not done.modified:
        what = f"nothing of the model can be {TITLES[dtype]}"
        raise ExportError(what, _why(singles), "Leave --precision out")
    half = sum(any(value.dtype == dtype for value in node.outputs) for node in model.graph)
    io = TITLES[dtype] if io_half else "float32"
    return Lowered(model, Precision(asked, TITLES[dtype], io, half, tuple(singles), stays.trials))


def _why(singles: Sequence[Single]) -> str:
    if not singles:
        return "no operator computes in float32"
    first, more = singles[0], len(singles) - 1
    others = f", and {more} more" if more else ""
    return f"{first.module or first.value} ({first.operator}): {first.reason}{others}"


def _check_opset(model: ir.Model, dtype: ir.DataType, singles: Sequence[Single]) -> None:
    """Refuse an opset in which just the convolutions would stay behind."""
    opset = model.opset_imports.get("", 0)
    if dtype == ir.DataType.BFLOAT16 and opset < _BF16_OPSET:
        for each in singles:
            if each.operator in _CONVOLUTIONS:
                why = f"opset {opset} has no {each.operator} of bfloat16"
                remedy = f"Say --opset {_BF16_OPSET}; of an ONNX file, raise its opset first"
                raise ExportError("--precision bf16", why, remedy)


def _check_single(model: ir.Model, asked: str) -> None:
    """A model of another type is not what the precisions start from."""
    sizes = Counter[ir.DataType]()
    for value in model.graph.initializers.values():
        if value.const_value is not None and value.const_value.dtype.is_floating_point():
            sizes[value.const_value.dtype] += value.const_value.size
    kind = sizes.most_common(1)[0][0] if sizes else ir.DataType.FLOAT
    if kind != ir.DataType.FLOAT:
        name = TITLES.get(kind, "float64" if kind == ir.DataType.DOUBLE else kind.name.lower())
        remedy = "Leave --precision out, or convert model.float()"
        raise UsageError(f"--precision {asked}", f"the model's weights are {name}", remedy)
