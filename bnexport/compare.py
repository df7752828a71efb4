"""``verify``: a file judged by the model that it was made of, or by another file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from os import PathLike
from pathlib import Path

import onnx_ir as ir
import torch

from bnexport.errors import Refused, UsageError
from bnexport.events import Observer, silent, stage
from bnexport.inputs import Examples, InputSpec, parse_input
from bnexport.inputs.graph import examples_of
from bnexport.isolation import Isolation, isolating
from bnexport.load import load
from bnexport.load.limits import in_force
from bnexport.load.onnx_file import declared_onnx, read_onnx
from bnexport.locate import located_by_graph, located_by_module
from bnexport.parity import Parity, verify_files
from bnexport.parity.files import runs_as_it_is, verify_file
from bnexport.passes.modules import undisturbed
from bnexport.subject import intended

__all__ = ["verify"]


@isolating(foreign=True)
def verify(
    a: str | PathLike[str] | torch.nn.Module | None,
    b: str | PathLike[str],
    *,
    arch: str | None = None,
    arch_args: Mapping[str, object] | None = None,
    allow: Sequence[str] = (),
    allow_partial: bool = False,
    trust_torchscript: bool = False,
    state_dict_key: str | None = None,
    inputs: Sequence[str | InputSpec] | None = None,
    inputs_from: str | PathLike[str] | None = None,
    batch: Sequence[int] = (1, 8),
    atol: float | None = None,
    rtol: float | None = None,
    mixes_batch: bool = False,
    runtimes: Sequence[str] = (),
    locate: bool = True,
    isolation: Isolation | None = None,
    observe: Observer = silent,
) -> Parity:
    """Hold ``b``, an ONNX file, a TensorRT engine, TorchScript or ``torch.export``, against ``a``.

    Args:
        a: What is right: a live module or a file of one (as `convert` takes them), which is run in float64;
            or a file that a runtime opens, which is right by definition. None with ``arch``.
        b: The file in question.
        arch: As in `convert`, like the five below.
        arch_args: See ``arch``.
        allow: See ``arch``.
        allow_partial: See ``arch``.
        trust_torchscript: Whether TorchScript and ``torch.export`` archives, which run code when they are
            read, are read.
        state_dict_key: See ``arch``.
        inputs: ``[name:]Nx3x224x224[:dtype]``, one an input; None: as the model or an ONNX file tells.
        inputs_from: Real samples, ``.npz`` or ``.pt``.
        batch: Batch sizes to compare at.
        atol: With ``rtol``, replaces the yardstick.
        rtol: See ``atol``.
        mixes_batch: Whether the model mixes the samples of a batch on purpose.
        runtimes: What an ONNX file ``b`` is run in: ``ort``, ``ort-plain`` (its optimisers off), ``ort-rounded``
            (each value of a half-precision file rounded), ``ort-cuda``, ``ort-trt``; none: ``ort``.
        locate: Whether, after a disagreement, the first wrong layer is searched for.
        isolation: How native work is kept apart: limits of time and memory, or in this process.
        observe: Told of progress.

    Returns:
        Every check: see its ``ok`` and ``raise_for_failure()``.

    Raises:
        Refused: A file is missing or of no known kind, or needs ``trust_torchscript``; the module cannot be
            exported truthfully.
        UsageError: The inputs do not fit, or cannot be told.
        MissingRuntime: A runtime that a file needs is not usable here.
        NativeFailure: Native code crashed, hung or took too much memory.
    """
    if not Path(b).is_file():
        raise Refused(str(b), "no such file", "Check the path")
    data = Path(inputs_from) if inputs_from is not None else None
    if inputs and data is not None:
        raise UsageError("inputs are given twice", "by shape and from a file", "Give one of them")
    specs = tuple(parse_input(item) if isinstance(item, str) else item for item in inputs or ())
    if arch is None and isinstance(a, str | PathLike) and _runs(Path(a), trust_torchscript):
        examples = _examples((Path(a), Path(b)), specs, data)
        parity = verify_files(
            Path(a),
            Path(b),
            examples,
            batches=batch,
            atol=atol,
            rtol=rtol,
            mixes_batch=mixes_batch,
            runtimes=runtimes,
            trust=trust_torchscript,
            observe=observe,
        )
        return _located(parity, Path(a), Path(b), examples, locate, observe)
    with stage(observe, "load"):
        loaded = load(
            a,
            arch=arch,
            arch_args=arch_args,
            allow=allow,
            allow_partial=allow_partial,
            trust_torchscript=trust_torchscript,
            state_dict_key=state_dict_key,
        )
    if not isinstance(loaded.model, torch.nn.Module):
        raise Refused(
            loaded.name, "no runtime opens it, and it is no module", "Give the ONNX file itself"
        )
    with undisturbed():
        meant = intended(loaded, loaded.model, specs, data, observe)
        parity = verify_file(
            meant.reference(),
            meant.plain.outputs,
            Path(b),
            meant.examples,
            output_names=meant.plain.outputs,
            batches=batch,
            atol=atol,
            rtol=rtol,
            mixes_batch=mixes_batch,
            runtimes=runtimes,
            trust=trust_torchscript,
            observe=observe,
        )
        if parity.ok or not locate:
            return parity
        with stage(observe, "locate"):
            return located_by_module(parity, Path(b), meant)


def _located(
    parity: Parity, a: Path, b: Path, examples: Examples | None, locate: bool, observe: Observer
) -> Parity:
    """Of two files: the first is what the second should be."""
    graph = _graph(a)
    if parity.ok or not locate or graph is None:
        return parity
    chosen = examples or examples_of(graph)
    with stage(observe, "locate"):
        return located_by_graph(parity, b, lambda: read_onnx(a, in_force()), chosen)


def _runs(path: Path, trust: bool) -> bool:
    if not path.is_file():
        raise Refused(str(path), "no such file", "Check the path")
    return runs_as_it_is(path, trust)


def _examples(
    files: Sequence[Path], specs: Sequence[InputSpec], data: Path | None
) -> Examples | None:
    """What the user says of the inputs, completed by the ONNX file among the two."""
    if not specs and data is None:
        return None
    for graph in filter(None, map(_graph, files)):
        return examples_of(graph, specs, data)
    if data is not None:
        what = f"the samples of {data.name} have no inputs to go to"
        raise UsageError(what, "neither file is ONNX", "Say the shapes: --input Nx3x224x224")
    return Examples(
        tuple(
            replace(spec, name=spec.name or f"input_{place}", dtype=spec.dtype or "float32")
            for place, spec in enumerate(specs)
        )
    )


def _graph(path: Path) -> ir.Model | None:
    """The graph of an ONNX file, without its weights' data; None for another kind of file."""
    model = declared_onnx(path)
    return None if model is None else ir.from_proto(model)
