"""``verify``: two model files on the same inputs, the second judged by the first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from os import PathLike
from pathlib import Path

import onnx
import onnx_ir as ir
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

from bnexport.errors import UsageError
from bnexport.events import Observer, silent
from bnexport.inputs import Examples, InputSpec, parse_input
from bnexport.inputs.graph import examples_of
from bnexport.parity import Parity, verify_files

__all__ = ["verify"]


def verify(
    a: str | PathLike[str],
    b: str | PathLike[str],
    *,
    inputs: Sequence[str | InputSpec] | None = None,
    inputs_from: str | PathLike[str] | None = None,
    batch: Sequence[int] = (1, 8),
    atol: float | None = None,
    rtol: float | None = None,
    mixes_batch: bool = False,
    trust: bool = False,
    observe: Observer = silent,
) -> Parity:
    """Hold ``b`` against ``a``: ONNX files, TensorRT engines, TorchScript, ``torch.export``.

    Args:
        a: What is right by definition.
        b: The file in question.
        inputs: ``[name:]Nx3x224x224[:dtype]``, one an input; None: as an ONNX file declares them.
        inputs_from: Real samples, ``.npz`` or ``.pt``.
        batch: Batch sizes to compare at.
        atol: With ``rtol``, replaces the yardstick.
        rtol: See ``atol``.
        mixes_batch: Whether the model mixes the samples of a batch on purpose.
        trust: Whether TorchScript and ``torch.export`` archives, which run code when they are
            read, are read.
        observe: Told of progress.

    Returns:
        Every check: see its ``ok`` and ``raise_for_failure()``.

    Raises:
        Refused: A file is missing or of no known kind, or needs ``trust``.
        UsageError: The inputs do not fit, or cannot be told.
        MissingRuntime: A runtime that a file needs is not usable here.
    """
    first, second = Path(a), Path(b)
    examples = _examples((first, second), inputs, inputs_from)
    return verify_files(
        first,
        second,
        examples,
        batches=batch,
        atol=atol,
        rtol=rtol,
        mixes_batch=mixes_batch,
        trust=trust,
        observe=observe,
    )


def _examples(
    files: Sequence[Path],
    inputs: Sequence[str | InputSpec] | None,
    inputs_from: str | PathLike[str] | None,
) -> Examples | None:
    """What the user says of the inputs, completed by the ONNX file among the two."""
    if not inputs and inputs_from is None:
        return None
    if inputs and inputs_from is not None:
        raise UsageError("inputs are given twice", "by shape and from a file", "Give one of them")
    specs = [parse_input(item) if isinstance(item, str) else item for item in inputs or ()]
    data = Path(inputs_from) if inputs_from is not None else None
    for graph in filter(None, map(_graph, files)):
        return examples_of(graph, specs, data)
    if data is not None:
        what = f"the samples of {data.name} have no inputs to go to"
        raise UsageError(what, "neither file is ONNX", "Say the shapes: --input Nx3x224x224")
    return Examples(
        tuple(replace(spec, name=spec.name or f"input_{place}") for place, spec in enumerate(specs))
    )


def _graph(path: Path) -> ir.Model | None:
    """The graph of an ONNX file, without its weights' data; None for another kind of file."""
    try:
        model = onnx.load_model(str(path), load_external_data=False)
    except (DecodeError, OSError, ValueError):
        return None
    return ir.from_proto(model) if model.graph.output else None
