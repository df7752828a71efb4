"""Load a torch.export archive: rewritten first, so that torch meets nothing of the file's that can run.

torch's loader runs file content by four roads: sample inputs fall back to plain pickle, weights may be marked as
pickles, symbolic expressions go through sympy's eval, and guards are Python source. `program` checks the graph; here
only the records that a plain program needs are kept, and the sample inputs are read inertly and written anew.
"""

from __future__ import annotations

import io
import json
import logging
import re
import warnings
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from bnexport.load.allow import Allowed
from bnexport.load.archive import Archive
from bnexport.load.errors import Corrupt, Unsafe, Unsupported
from bnexport.load.limits import Limits
from bnexport.load.loaded import Loaded
from bnexport.load.needs import check_names
from bnexport.load.pickled import from_archive
from bnexport.load.program import check_program
from bnexport.load.values import Rebuild

__all__ = ["load_exported"]

_PROGRAM = re.compile(r"models/([A-Za-z0-9_]+)\.json")
_WEIGHT = re.compile(r"(weight|tensor)_\d+")
_NATIVE = (".so", ".dll", ".dylib", ".cubin", ".o")
_MARKS = (
    "archive_format",
    "archive_version",
    "byteorder",
    "version",
    ".data/version",
    ".data/serialization_id",
    ".format_version",
    ".storage_alignment",
)


def load_exported(archive: Archive, limits: Limits) -> Loaded:
    """The program as a module, and its sample inputs where they are tensors.

    Raises:
        Unsafe: Something in the archive would run.
        Unsupported: It holds what a plain program does not: native code, custom objects, several programs.
        Corrupt: torch cannot read it.
    """
    name = _only_program(archive)
    sample = _sample(archive, name, limits)
    clean = _rewritten(archive, name, sample, limits)
    with _quiet():
        try:
            program = torch.export.load(clean)
            module = program.module()
        except Exception as error:
            # torch's reader raises what it meets: any of it means that the archive cannot be read.
            reason = str(error).strip().split("\n", 1)[0][:200]
            why = f"torch cannot read this torch.export archive ({reason})"
            raise Corrupt(
                archive.path, why, "Export it again with this version of torch"
            ) from error
    return Loaded(module, "exported program", "", example=_tensors(sample))


def _only_program(archive: Archive) -> str:
    names = archive.names()
    if any(name.endswith(_NATIVE) or name.startswith("data/aotinductor") for name in names):
        raise Unsafe(archive.path, "it holds compiled native code (AOTInductor)", _REEXPORT)
    if "archive_format" not in archive or archive.read("archive_format", 64).strip() != b"pt2":
        raise Unsupported(archive.path, "not a torch.export archive of a known form", _REEXPORT)
    programs = [match[1] for name in names if (match := _PROGRAM.fullmatch(name))]
    if len(programs) != 1:
        raise Unsupported(archive.path, f"it holds {len(programs)} programs, not one", _REEXPORT)
    return programs[0]


def _rewritten(archive: Archive, name: str, sample: Any, limits: Limits) -> io.BytesIO:
    """A new archive with the checked records alone."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as clean:
        for record, data in _records(archive, name, limits):
            clean.writestr(f"{archive.folder}/{record}", data)
        if sample is not None:
            written = io.BytesIO()
            torch.save(sample, written)
            record = f"{archive.folder}/data/sample_inputs/{name}.pt"
            clean.writestr(record, written.getvalue())
    buffer.seek(0)
    return buffer


def _records(archive: Archive, name: str, limits: Limits) -> Iterator[tuple[str, bytes]]:
    configs = (
        f"data/weights/{name}_weights_config.json",
        f"data/constants/{name}_constants_config.json",
    )
    for record in archive.names():
        folder, _, leaf = record.rpartition("/")
        if record == f"models/{name}.json":
            program = check_program(_json(archive, record, limits), archive.path, limits)
            yield record, json.dumps(program).encode()
        elif record in configs:
            yield record, _config(archive, record, limits)
        elif folder in ("data/weights", "data/constants") and _WEIGHT.fullmatch(leaf):
            yield record, bytes(archive.read(record, limits.tensor_bytes, "tensor_bytes"))
        elif record in _MARKS:
            yield record, bytes(archive.read(record, 4096))
        elif record != f"data/sample_inputs/{name}.pt":
            raise Unsupported(archive.path, f"an unexpected record {record!r}", _REEXPORT)


def _config(archive: Archive, record: str, limits: Limits) -> bytes:
    """Where each weight lies; one that is a pickle, or no plain tensor, would be unpickled by torch."""
    content = _json(archive, record, limits)
    entries = content.get("config") if isinstance(content, dict) else None
    if not isinstance(entries, dict):
        raise Corrupt(archive.path, f"malformed record {record!r}")
    for weight, entry in entries.items():
        if not isinstance(entry, dict) or entry.get("use_pickle") is not False:
            raise Unsafe(archive.path, f"the weight {weight!r} is stored as a pickle", _REEXPORT)
        place = entry.get("path_name")
        if not isinstance(place, str) or not _WEIGHT.fullmatch(place):
            raise Unsafe(archive.path, f"the constant {weight!r} is a custom object", _REEXPORT)
    return json.dumps(content).encode()


def _json(archive: Archive, record: str, limits: Limits) -> Any:
    try:
        return json.loads(archive.read(record, limits.json_bytes, "json_bytes"))
    except (ValueError, RecursionError):
        raise Corrupt(archive.path, f"record {record!r} is not JSON") from None


def _sample(archive: Archive, name: str, limits: Limits) -> Any:
    """The sample inputs, read inertly; None where there are none."""
    record = f"data/sample_inputs/{name}.pt"
    if record not in archive or not archive.size(record):
        return None
    data = archive.read(record, limits.tensor_bytes, "tensor_bytes")
    inner = Archive(f"{archive.path}, sample inputs", io.BytesIO(data), len(data), limits)
    pickled, allowed = from_archive(inner, limits), Allowed()
    check_names(pickled.path, pickled.root, pickled.names, allowed)
    return Rebuild(pickled.path, pickled.tensors, allowed, limits).value(pickled.root, "inputs")


def _tensors(sample: Any) -> tuple[torch.Tensor, ...] | None:
    """Positional inputs, when there are no others and all are tensors."""
    match sample:
        case (tuple(args), dict(keywords)) if args and not keywords:
            if all(isinstance(value, torch.Tensor) for value in args):
                return args
    return None


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep torch's warnings about the archive off the user's terminal."""
    logger = logging.getLogger("torch.export")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


_REEXPORT = "Export the model anew, or save model.state_dict() and give --arch"
