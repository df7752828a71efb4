"""Tell the sources apart, and send each down its own road."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch

from bnexport.errors import Refused, UsageError
from bnexport.load.allow import Allowed
from bnexport.load.arch import build_arch, check_arch, check_not_empty
from bnexport.load.archive import Archive, open_archive
from bnexport.load.checkpoint import Weights, find, is_module, weights_of, weights_of_module
from bnexport.load.errors import Corrupt, TooLarge, Unsupported
from bnexport.load.limits import Limits, in_force
from bnexport.load.loaded import Loaded
from bnexport.load.matching import load_weights
from bnexport.load.needs import check_names
from bnexport.load.pickled import Pickled, from_archive, open_legacy
from bnexport.load.safetensors import read_safetensors
from bnexport.load.sniff import Kind, check_file, digest, sniff
from bnexport.load.torchscript import load_torchscript
from bnexport.load.values import Rebuild

__all__ = ["Request", "load_source"]

_MALFORMED = (TypeError, ValueError, AttributeError, KeyError, IndexError, OverflowError)
_OLD_EXPORT = "serialized_exported_program.json"


@dataclass(frozen=True)
class Request:
    """The arguments of `bnexport.load.load`."""

    source: str | os.PathLike[str] | torch.nn.Module | Loaded | None = None
    arch: str | None = None
    arch_args: Mapping[str, object] = field(default_factory=dict)
    allow: tuple[str, ...] = ()
    allow_partial: bool = False
    trust_torchscript: bool = False
    state_dict_key: str | None = None
    limits: Limits = field(default_factory=in_force)


def load_source(request: Request) -> Loaded:
    """Load what the request names."""
    if request.arch is not None:
        check_arch(request.arch)
    elif request.arch_args:
        raise UsageError("--arch-args", "they are the arguments of --arch", "Give --arch too")
    allowed = Allowed(request.allow)
    if request.source is None:
        return _architecture(request)
    if isinstance(request.source, torch.nn.Module):
        return _live(request.source, request)
    if isinstance(request.source, Loaded):
        return request.source
    path = check_file(request.source)
    loaded = _file(path, request, allowed)
    if isinstance(loaded.model, torch.nn.Module):
        check_not_empty(loaded.model, str(path))
    return replace(loaded, name=path.stem, path=path, sha256=digest(path))


def _architecture(request: Request) -> Loaded:
    if request.arch is None:
        raise UsageError("no model", "neither a file nor --arch is given", "Give one of them")
    module, notes = build_arch(request.arch, request.arch_args)
    check_not_empty(module, f"--arch {request.arch}")
    name = request.arch.rpartition(":")[2].rpartition(".")[2]
    notes = (*notes, f"the weights are those that {request.arch} gives")
    return Loaded(module, "architecture", name, notes=notes)


def _live(module: torch.nn.Module, request: Request) -> Loaded:
    if request.arch is not None:
        raise UsageError("--arch", "a live module is given already", "Leave one of them out")
    check_not_empty(module, type(module).__name__)
    return Loaded(module, "module", type(module).__name__.lower())


def _file(path: Path, request: Request, allowed: Allowed) -> Loaded:
    kind = sniff(path)
    try:
        if kind is Kind.ZIP:
            with open_archive(path, request.limits) as archive:
                return _zip(path, archive, request, allowed)
        if kind is Kind.LEGACY:
            return _pickled(open_legacy(path, request.limits), request, allowed)
    except RecursionError:
        raise TooLarge(str(path), "its objects nest too deeply") from None
    if kind is Kind.SAFETENSORS:
        weights = read_safetensors(path, request.limits)
        return _weights(weights, "safetensors", str(path), request)
    return _onnx(path, request)


def _zip(path: Path, archive: Archive, request: Request, allowed: Allowed) -> Loaded:
    names = archive.names()
    if "constants.pkl" in archive or any(name.startswith("code/") for name in names):
        _no_arch(request, "a TorchScript archive", str(path))
        archive.check_unpacked()
        module = load_torchscript(path, trust=request.trust_torchscript)
        return Loaded(module, "torchscript", "")
    if _OLD_EXPORT in archive:
        why = "a torch.export archive of a version before torch 2.8"
        raise Unsupported(str(path), why, "Load and save it with a newer torch")
    if "archive_format" in archive or any(name.startswith("models/") for name in names):
        from bnexport.load.exported import load_exported

        _no_arch(request, "a torch.export archive", str(path))
        return load_exported(archive, request.limits)
    if "data.pkl" not in archive:
        raise Unsupported(str(path), "a zip archive, but not one that torch wrote")
    return _pickled(from_archive(archive, request.limits), request, allowed)


def _pickled(pickled: Pickled, request: Request, allowed: Allowed) -> Loaded:
    record, notes = find(pickled.root, pickled.path, request.state_dict_key)
    if not is_module(record):
        weights = weights_of(record, pickled.tensors)
        return _weights(weights, "checkpoint", pickled.path, request, notes)
    if request.arch is not None:
        weights = weights_of_module(record, pickled.tensors)
        notes = (*notes, "took the weights alone from a pickled module")
        return _weights(weights, "checkpoint", pickled.path, request, notes)
    check_names(pickled.path, record, pickled.names, allowed)
    rebuild = Rebuild(pickled.path, pickled.tensors, allowed, request.limits)
    try:
        module = rebuild.value(record, "model")
    except _MALFORMED as error:
        # Nothing of the file's runs, so it is its form at which our own code stumbled.
        why = f"a malformed model ({type(error).__name__}: {str(error)[:100]})"
        raise Corrupt(pickled.path, why, "Save it again") from error
    if not isinstance(module, torch.nn.Module):
        raise Refused(pickled.path, f"it holds a {type(module).__name__}, not a module")
    return Loaded(module, "pickled module", "", notes=(*notes, *rebuild.notes))


def _weights(
    weights: Weights, kind: str, path: str, request: Request, notes: tuple[str, ...] = ()
) -> Loaded:
    if not weights.tensors:
        raise Refused(path, "the state dict holds no tensor")
    if request.arch is None:
        why = f"it holds {len(weights.tensors)} weights and no model"
        remedy = "Name the code that builds it: --arch package.module:factory"
        raise Refused(path, why, remedy)
    module, made = build_arch(request.arch, request.arch_args)
    check_not_empty(module, f"--arch {request.arch}")
    fitted = load_weights(module, weights, path, partial=request.allow_partial)
    return Loaded(module, kind, "", notes=(*notes, *made, *fitted))


def _onnx(path: Path, request: Request) -> Loaded:
    from bnexport.load.onnx_file import load_onnx

    model = load_onnx(path, request.limits)
    _no_arch(request, "an ONNX file", str(path))
    return Loaded(model, "onnx", "")


def _no_arch(request: Request, kind: str, path: str) -> None:
    if request.arch is not None:
        why = f"{path} is {kind}, which holds its own graph"
        raise UsageError("--arch", why, "Leave it out")
