"""Fold an ONNX file: the road from its rewriting on, whoever wrote the file."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import onnx_ir as ir

from bnexport.conversion import Conversion
from bnexport.convert import convert
from bnexport.errors import UsageError
from bnexport.events import Observer, silent
from bnexport.inputs import InputSpec
from bnexport.isolation import Isolation, isolating
from bnexport.load import load

__all__ = ["fold"]


@isolating(foreign=True)
def fold(
    model: str | os.PathLike[str],
    output: str | os.PathLike[str] | None = None,
    *,
    inputs: Sequence[str | InputSpec] | None = None,
    inputs_from: str | os.PathLike[str] | None = None,
    batch: Sequence[int] = (1, 8),
    external_data: bool | None = None,
    atol: float | None = None,
    rtol: float | None = None,
    mixes_batch: bool = False,
    runtimes: Sequence[str] = (),
    keep_failed: bool = False,
    simplify: bool = True,
    isolation: Isolation | None = None,
    observe: Observer = silent,
) -> Conversion:
    """Fold every BatchNorm of an ONNX file that can be, prove the result against the file, publish it.

    Args:
        model: An ``.onnx`` file, with or without external data.
        output: Where the result goes; None: ``NAME.folded.onnx`` beside the file.
        inputs: ``[name:]Nx3x224x224[:dtype]``, for inputs whose sizes the file leaves free.
        inputs_from: Real samples, ``.npz`` or ``.pt``.
        batch: Batch sizes to verify at.
        external_data: Whether weights go into a file of their own; None: over 2 GB.
        atol: With ``rtol``, replaces the yardstick.
        rtol: See ``atol``.
        mixes_batch: Whether the model mixes the samples of a batch on purpose; the report says so.
        runtimes: As in `convert`.
        keep_failed: Whether a file that failed the verification is kept under another name.
        simplify: Whether onnxsim runs, too.
        isolation: How native work is kept apart: limits of time and memory, or in this process.
        observe: Told of progress.

    Raises:
        ConversionFailed: The result disagrees with the file.
        UsageError: It is no ONNX file, or an option or the destination cannot be used.
        Refused: It cannot be read.
        ExportError: It cannot be rewritten.
        MissingRuntime: ONNX Runtime is not installed.
        NativeFailure: Native code crashed, hung or took too much memory.
    """
    loaded = load(model)
    if not isinstance(loaded.model, ir.Model):
        raise UsageError(
            f"{Path(model).name} is no ONNX file", f"it is a {loaded.format}", "Use convert."
        )
    path = Path(model)
    return convert(
        loaded,
        path.with_name(f"{loaded.name}.folded.onnx") if output is None else output,
        inputs=inputs,
        inputs_from=inputs_from,
        batch=batch,
        external_data=external_data,
        atol=atol,
        rtol=rtol,
        mixes_batch=mixes_batch,
        runtimes=runtimes,
        keep_failed=keep_failed,
        simplify=simplify,
        observe=observe,
    )
