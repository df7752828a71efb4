"""The road that a model travels: load, prepare, examine, capture, rewrite, build, verify, publish."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

import onnx_ir as ir

from bnexport.attempt import Asked, attempt
from bnexport.build import Artifact, parse_targets
from bnexport.cache import ConversionStore
from bnexport.conversion import Conversion
from bnexport.delivery import deliver
from bnexport.destination import destination_of, stem_of
from bnexport.errors import Refused, UsageError
from bnexport.events import Observer, Timer, silent, stage
from bnexport.inputs import InputSpec
from bnexport.isolation import Isolation, expect, isolating, meet_foreign
from bnexport.load import load
from bnexport.load.loaded import Loaded
from bnexport.load.mapped import mapping
from bnexport.load.onnx_file import names_external_data
from bnexport.parity.runtimes import check_runtimes
from bnexport.passes.graphs.simplify import weight_bytes
from bnexport.passes.modules import undisturbed
from bnexport.precision import check_precision
from bnexport.publish import Staging
from bnexport.report.document import (
    Facts,
    Size,
    Source,
)
from bnexport.roads import check_proof, check_road
from bnexport.targets.tensorrt import EngineOptions
from bnexport.unchanged import earlier, place_of, request_of

if TYPE_CHECKING:
    import torch

__all__ = ["convert"]

NAMED = 8
_RETAKEN = "captured by torch.export: what the fast capture made did not verify"
TORCH_NOTES = {
    "pt2": "pt2: its BatchNorms are in eval mode and not folded; the ledger is the ONNX graph's",
    "torchscript": "torchscript: folded by torch's own freeze; the ledger is the ONNX graph's",
}


@isolating()
def convert(
    model: str | os.PathLike[str] | torch.nn.Module | Loaded | None = None,
    output: str | os.PathLike[str] | None = None,
    *,
    target: str | Sequence[str] = "onnx",
    arch: str | None = None,
    arch_args: Mapping[str, object] | None = None,
    allow: Sequence[str] = (),
    allow_partial: bool = False,
    trust_torchscript: bool = False,
    state_dict_key: str | None = None,
    inputs: Sequence[str | InputSpec] | None = None,
    inputs_from: str | os.PathLike[str] | None = None,
    batch: Sequence[int] = (1, 8),
    opset: int | None = None,
    precision: str | None = None,
    io_half: bool = False,
    external_data: bool | None = None,
    sm: Sequence[int] = (),
    tf32: bool = False,
    engine: EngineOptions | None = None,
    atol: float | None = None,
    rtol: float | None = None,
    mixes_batch: bool = False,
    proof: str = "full",
    runtimes: Sequence[str] = (),
    keep_failed: bool = False,
    fold: bool = True,
    simplify: bool | None = None,
    capture: str = "auto",
    drift_taps: bool = False,
    force: bool = False,
    cache: str | os.PathLike[str] | None = None,
    isolation: Isolation | None = None,
    observe: Observer = silent,
) -> Conversion:
    """Convert a trained model, prove the result, and publish it; or publish nothing.

    A model file whose conversion with the same options and versions lies at the destination is not converted again,
    unless it needs code of the user's, which may have changed. With ``cache`` the code is looked at, too.

    Args:
        model: A live module, or a file: a pickled module, a checkpoint, ``.safetensors``, ``.pt2``,
            TorchScript, ``.onnx``; None with ``arch``.
        output: Where the main artifact goes; None: the model's name with the target's suffix, in the
            current folder.
        target: ``onnx``, ``trt``, ``trt-rtx``, ``torchscript``, ``pt2``; several share one capture.
        arch: ``package.module:factory`` that builds the module.
        arch_args: Its keyword arguments.
        allow: Classes, or modules of classes, that a pickle may make live.
        allow_partial: Whether keys may be missing or left over.
        trust_torchscript: Whether a TorchScript archive, which runs code when it is loaded, is loaded.
        state_dict_key: Which entry of the checkpoint holds the weights.
        inputs: ``[name:]Nx3x224x224[:dtype]``, one an input.
        inputs_from: Real samples, ``.npz`` or ``.pt``.
        batch: Batch sizes to verify at; the largest bounds a TensorRT engine.
        opset: Of the ONNX file; None: 20, or 22 for bfloat16.
        precision: ``fp32``, ``fp16``, ``bf16``, or ``mixed``: float16 where the model stays within its rounding.
            None: the model's own.
        io_half: Whether inputs and outputs are of the half type, too.
        external_data: Whether weights go into a file of their own; None: over 2 GB.
        sm: Compute capabilities to build a TensorRT-RTX engine for: 89 is sm_89.
        tf32: Whether TensorRT may use TF32.
        engine: Whatever else TensorRT can be told: profiles, flags, caches. Its ``batch`` is that given here, and
            so are ``sm`` and ``tf32`` where they are.
        atol: With ``rtol``, replaces the yardstick.
        rtol: See ``atol``.
        mixes_batch: Whether the model mixes the samples of a batch on purpose; the report says so.
        proof: ``full``: against the model in float64, on inputs of several sizes, each sample alone and beside others;
            ``thorough``: more of all that, as `bnexport.verify` does; ``quick``: against the model as it is, to a
            thousandth, at each batch size.
        runtimes: What the ONNX file is verified in: ``ort``, ``ort-plain`` (its optimisers off), ``ort-rounded``
            (each value of a half-precision file rounded), ``ort-cuda``, ``ort-trt``; none: ``ort``, and
            ``ort-cuda`` where it works.
        keep_failed: Whether files that failed the verification are kept under another name.
        fold: Whether BatchNorm is folded.
        simplify: Whether onnxsim runs; None: on what was read from an ONNX file.
        capture: How a module becomes a graph: ``fast``, by recording what it calls; ``export``, by torch.export and
            torch.onnx; ``auto``: by recording, and by export where that is not sure or does not verify.
        drift_taps: Whether the file gets outputs that tell what its BatchNorms see, for `bnexport.TapMonitor`.
        force: Whether to convert and to build again what lies there already.
        cache: A folder of earlier conversions, by what they were made of: the model's bytes, the source of its classes
            and of what that imports, the options, all that is installed. What is there is published as it is; what is
            not is kept there.
        isolation: How native work is kept apart: limits of time and memory, or in this process.
        observe: Told of progress.

    Raises:
        ConversionFailed: A runtime disagrees with the reference, or samples are not independent.
        UsageError: An option or the destination cannot be used.
        Refused: The model cannot be read, or cannot be exported truthfully.
        ExportError: It cannot be expressed in the target.
        MissingRuntime: A library that is needed is not installed.
        NativeFailure: Native code crashed, hung or took too much memory.
    """
    request = request_of(model, locals(), code=cache is not None)
    store = ConversionStore(cache) if cache is not None else None
    targets = parse_targets(target)
    check_precision(precision, io_half, targets)
    check_road(capture)
    check_proof(proof)
    if drift_taps and set(targets) & set(TORCH_NOTES):
        why = f"they are outputs of an ONNX file or an engine, not of {', '.join(targets)}"
        raise UsageError("--drift-taps", why, "Attach a DriftMonitor to the module instead")
    _check_engine(engine, targets)
    batches, served = _batches(batch), _served(runtimes, targets)
    timer = Timer(observe)
    if not force and request is not None:
        place = place_of(model, output, targets)
        found = earlier(request, place) or (store.take(request, place) if store else None)
        if found is not None:
            return Conversion.of(found, place)
    if output is not None:
        Staging(Path(output))  # looks at the folder, before any work
    simplified = _is_onnx(model) if simplify is None else simplify
    for step in (
        *(["simplify"] if simplified else []),
        *(word for word in targets if "trt" in word),
    ):
        expect(step)
    before = _identity(model)
    with stage(timer, "load"), mapping():
        loaded = load(
            model,
            arch=arch,
            arch_args=arch_args,
            allow=allow,
            allow_partial=allow_partial,
            trust_torchscript=trust_torchscript,
            state_dict_key=state_dict_key,
        )
    if isinstance(loaded.model, ir.Model):
        meet_foreign()
    destination = destination_of(output, loaded.name, loaded.path, targets[0])
    building = _building(engine or EngineOptions(), batches, sm, tf32)
    asked = Asked(
        targets,
        inputs,
        Path(inputs_from) if inputs_from is not None else None,
        batches,
        opset,
        precision,
        io_half,
        external_data,
        building,
        atol,
        rtol,
        mixes_batch,
        served,
        proof,
        fold,
        simplify,
        drift_taps,
        force,
    )
    with Staging(destination) as staging, undisturbed():
        staging.require_space(_room(loaded, targets))
        stem = staging.folder / stem_of(destination, targets[0])
        made = attempt(loaded, asked, capture, stem, timer)
        notes = made.subject.notes
        if capture == "auto" and made.subject.road == "fast" and not made.parity.ok:
            made = attempt(loaded, asked, "export", stem, timer)
            notes = (*made.subject.notes, _RETAKEN)
        options = {
            "batch": batches,
            "precision": precision,
            "io_half": io_half,
            "opset": made.lowered.model.opset_imports.get(""),
            "external_data": external_data,
            "sm": building.sm,
            "tf32": building.tf32,
            "engine": asdict(building) if {"trt", "trt-rtx"} & set(targets) else None,
            "atol": atol,
            "rtol": rtol,
            "mixes_batch": mixes_batch,
            "proof": proof,
            "runtimes": served,
            "fold": fold,
            "simplify": simplify,
            "capture": made.subject.road or None,
            "drift_taps": drift_taps,
        }
        facts = Facts(
            source=Source.of(loaded),
            examples=made.subject.examples,
            targets=targets,
            options=options,
            ledger=made.rewritten.ledger,
            parity=made.parity,
            before=made.before,
            after=_after(made.built, made.lowered.model),
            precision=made.lowered.precision,
            request=None if _is_split(loaded) else request,
            passes=made.rewritten.passes,
            notes=(*notes, *_build_notes(made.built)),
            seconds=timer.seconds,
        )
        if before != _identity(model):
            why = "it was written to while it was converted"
            raise Refused(str(model), why, "Convert it once it is saved")
        conversion = deliver(staging, destination, made.built, facts, keep_failed, timer)
    if store is not None and facts.request is not None:
        store.keep(facts.request, conversion.path, conversion.document)
    return conversion


def _identity(model: object) -> object:
    """What changes when somebody writes to the file: its weights may be mapped."""
    if not isinstance(model, str | os.PathLike):
        return None
    try:
        status = os.stat(model)
    except OSError:
        return None  # which loading says better; gone meanwhile, it was not written to
    return status.st_ino, status.st_size, status.st_mtime_ns


def _batches(batch: Sequence[int] | int) -> tuple[int, ...]:
    batch = (batch,) if isinstance(batch, int) else batch
    if not batch or any(size < 1 for size in batch):
        raise UsageError(
            f"batch sizes {list(batch)}", "each must be at least 1", "Say --batch 1,8."
        )
    return tuple(dict.fromkeys(batch))


def _served(runtimes: Sequence[str], targets: Sequence[str]) -> tuple[str, ...]:
    """Every target that is verified in ONNX Runtime is built by way of an ONNX file, and so has one."""
    if runtimes and all(target in TORCH_NOTES for target in targets):
        why = f"{', '.join(targets)} is not served by ONNX Runtime"
        raise UsageError("runtimes are chosen for an ONNX file", why, "Leave them out")
    return check_runtimes(runtimes)


def _check_engine(engine: EngineOptions | None, targets: Sequence[str]) -> None:
    """What is said of an engine where none is built would be lost without a word."""
    if engine not in (None, EngineOptions()) and not {"trt", "trt-rtx"} & set(targets):
        why = f"{', '.join(targets)} is none"
        raise UsageError(
            "options of an engine are given", why, "Add --target trt, or leave them out"
        )


def _building(
    engine: EngineOptions, batches: Sequence[int], sm: Sequence[int], tf32: bool
) -> EngineOptions:
    """What is said here comes before what the options say."""
    return replace(
        engine, batch=_profile(batches), sm=tuple(sm) or engine.sm, tf32=tf32 or engine.tf32
    )


def _profile(batches: Sequence[int]) -> tuple[int, int, int]:
    """Smallest, usual and largest batch of an engine: the usual one is the middle of those named."""
    ordered = sorted(batches)
    return 1, ordered[len(ordered) // 2], ordered[-1]


def _is_onnx(model: object) -> bool:
    return isinstance(model, str | os.PathLike) and Path(model).suffix == ".onnx"


def _is_split(loaded: Loaded) -> bool:
    """Whether the model is more than the one file."""
    if loaded.path is None or loaded.format != "onnx":
        return False
    return names_external_data(loaded.path)


def _room(loaded: Loaded, targets: Sequence[str]) -> int:
    """What the files will take at least, by the weights: known before any work."""
    if isinstance(loaded.model, ir.Model):
        weights = weight_bytes(loaded.model)
    else:
        weights = sum(each.nbytes for each in loaded.model.parameters())
    return weights * len(targets) // 2  # it may be in half precision


def _after(built: Sequence[Artifact], graph: ir.Model) -> Size:
    main = built[0]
    total = sum(path.stat().st_size for path in (main.path, *main.beside))
    return Size(total, graph.graph.num_nodes())


def _build_notes(built: Sequence[Artifact]) -> list[str]:
    notes = [TORCH_NOTES[each.target] for each in built if each.target in TORCH_NOTES]
    for info in (artifact.engine for artifact in built if artifact.engine):
        taken = ", taken from an earlier build of the same" if info.reused else ""
        notes.append(f"engine by {info.flavour} {info.version}{taken}")
        notes += [info.assumed] if info.assumed else []
        if info.scaling:
            names = ", ".join(info.scaling[:NAMED]) + (", ..." if len(info.scaling) > NAMED else "")
            notes.append(
                f"the engine has {len(info.scaling)} BatchNorm left as scaling layers: {names}"
            )
    return notes
