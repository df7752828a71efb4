"""Build: the rewritten graph, or the prepared module, to the files of each target, in a staging folder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import onnx_ir as ir

from bnexport.destination import SUFFIXES
from bnexport.errors import UsageError
from bnexport.events import Observer
from bnexport.publish import file_sha256
from bnexport.subject import Subject

if TYPE_CHECKING:
    from bnexport.targets.tensorrt import EngineInfo, EngineOptions

__all__ = ["Artifact", "build", "parse_targets"]


@dataclass(frozen=True)
class Artifact:
    """What one target came to.

    Attributes:
        target: ``onnx``, ``trt``, ...
        path: The file, in the staging folder.
        beside: Files that belong to it: external data.
        wanted: Whether the user asked for it; the ONNX file that an engine is built from may be a means only.
        engine: Facts of a TensorRT engine.
        onnx_sha256: Of the ONNX file that an engine was built from.
        graph: What an ONNX file holds.
    """

    target: str
    path: Path
    beside: tuple[Path, ...] = ()
    wanted: bool = True
    engine: EngineInfo | None = None
    onnx_sha256: str = ""
    graph: ir.Model | None = None


def parse_targets(target: str | Sequence[str]) -> tuple[str, ...]:
    """The targets, in order, each once.

    Raises:
        UsageError: One is not known, or two would write the same file.
    """
    words = target.split(",") if isinstance(target, str) else target
    targets = tuple(dict.fromkeys(word.strip() for word in words))
    for word in targets:
        if word not in SUFFIXES:
            raise UsageError(f"target {word!r} is not known", "", f"Known: {', '.join(SUFFIXES)}.")
    if {"trt", "trt-rtx"} <= set(targets):
        raise UsageError("targets trt and trt-rtx write the same file", "", "Convert twice.")
    return targets


def build(
    graph: ir.Model,
    subject: Subject,
    targets: Sequence[str],
    stem: Path,
    engine: EngineOptions,
    external_data: bool | None,
    force: bool,
    observe: Observer,
) -> tuple[Artifact, ...]:
    """Write every target's files.

    Args:
        graph: As rewritten.
        subject: What is converted.
        targets: Known names.
        stem: Folder and name of the files, less their suffixes.
        engine: For TensorRT.
        external_data: Whether weights go beside the ONNX file; None: when they must.
        force: Whether an engine is built though an earlier build of the same is at hand.
        observe: Told of progress.

    Raises:
        ExportError: The model cannot be expressed in the target.
        MissingRuntime: The target needs a library that is not installed.
    """
    artifacts = []
    if {"onnx", "trt", "trt-rtx"} & set(targets):
        artifacts.append(_onnx(graph, stem, "onnx" in targets, external_data))
    for target in targets:
        if target in ("trt", "trt-rtx"):
            artifacts.append(_engine(artifacts[0], target, stem, engine, force, observe))
        elif target != "onnx":
            artifacts.append(_torch(subject, target, stem))
    return tuple(artifacts)


def _onnx(graph: ir.Model, stem: Path, wanted: bool, external_data: bool | None) -> Artifact:
    from bnexport.targets.onnx import write_onnx

    path = stem.with_name(stem.name + SUFFIXES["onnx"])
    _, *beside = write_onnx(graph, path, external_data=external_data)
    return Artifact("onnx", path, tuple(beside), wanted, graph=graph)


def _engine(
    onnx: Artifact, target: str, stem: Path, options: EngineOptions, force: bool, observe: Observer
) -> Artifact:
    from bnexport.targets.tensorrt import find_flavour, write_sidecar
    from bnexport.targets.tensorrt.apart import build_apart
    from bnexport.targets.tensorrt.options import choose_targets
    from bnexport.targets.tensorrt.store import EngineStore, key_of

    path, flavour = stem.with_name(stem.name + SUFFIXES[target]), find_flavour(target)
    gpus, store = choose_targets(flavour, options), EngineStore()
    key = key_of([onnx.path, *onnx.beside], flavour, gpus, options)
    info = store.take(key, path) if options.keep_engines and not force else None
    if info is None:
        info = build_apart(onnx.path, path, flavour, options, observe)
        if options.keep_engines:
            store.keep(key, path, info)
    digest = file_sha256(onnx.path)
    info = replace(info, assumed=gpus.assumed)  # the earlier build may have been told its GPUs
    write_sidecar(path, info, onnx_sha256=digest)  # without one no runner opens the engine
    return Artifact(target, path, engine=info, onnx_sha256=digest)


def _torch(subject: Subject, target: str, stem: Path) -> Artifact:
    from bnexport.targets.exported import write_exported
    from bnexport.targets.torchscript import write_torchscript

    if subject.plain is None:
        raise UsageError(
            f"target {target} needs a PyTorch model",
            "an ONNX file has none",
            "Convert to onnx or trt.",
        )
    path = stem.with_name(stem.name + SUFFIXES[target])
    if target == "pt2":
        from bnexport.capture.export import capture_program

        write_exported(capture_program(subject.plain, subject.examples), path)
    else:
        write_torchscript(subject.plain, subject.examples.batch(2), path)
    return Artifact(target, path)
