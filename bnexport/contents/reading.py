"""Tell the kinds apart, and ask each what it holds."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

from bnexport.contents.contents import DANGER, RISK, Contents, Record, Risk, Stored
from bnexport.contents.graphs import engine, onnx_file
from bnexport.contents.pickles import pickled
from bnexport.contents.programs import exported, script
from bnexport.load.archive import Archive, open_archive
from bnexport.load.errors import Corrupt
from bnexport.load.limits import in_force
from bnexport.load.records import parse
from bnexport.load.sniff import ENGINE_HEADS, Kind, check_file, sniff
from bnexport.load.stream import read_stream

__all__ = ["contents_of"]


def contents_of(source: str | os.PathLike[str]) -> Contents:
    """What a file holds. Weights are not read, and nothing of it is brought to life.

    Args:
        source: A file of any kind that bnexport knows.

    Raises:
        Refused: It is missing, damaged, too large, or of no known kind.
    """
    path = check_file(source)
    with path.open("rb") as file:
        if file.read(4) in ENGINE_HEADS:
            return engine(path)
    kind, limits = sniff(path), in_force()
    if kind is Kind.ZIP:
        with open_archive(path, limits) as archive:
            return _archive(path, archive)
    if kind is Kind.LEGACY:
        named: set[str] = set()
        root, _ = read_stream(path, limits, named)
        return pickled(path, "stream of torch before 1.6", root, named)
    return _safetensors(path) if kind is Kind.SAFETENSORS else onnx_file(path)


def _archive(path: Path, archive: Archive) -> Contents:
    names = archive.names()
    records = tuple(Record(name, archive.size(name)) for name in names)
    if "constants.pkl" in archive or any(name.startswith("code/") for name in names):
        return script(path, archive, records)
    if "archive_format" in archive or any(name.startswith("models/") for name in names):
        return exported(path, archive, records)
    if "data.pkl" not in archive:
        raise Corrupt(str(path), "a zip archive without a pickle or a program")
    data = archive.read("data.pkl", in_force().pickle_bytes, "pickle_bytes")
    named: set[str] = set()
    root, _ = parse(data, str(path), in_force(), named)
    found = pickled(path, "archive of torch.save", root, named, records)
    hidden = [
        name for name in names if name.endswith((".pkl", ".py", ".so")) and name != "data.pkl"
    ]
    more = tuple(
        Risk(RISK, f"it holds a record {name!r}, which torch.save does not write")
        for name in hidden
    )
    return replace(found, risks=(*found.risks, *more))


def _safetensors(path: Path) -> Contents:
    limit = in_force().json_bytes
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            header = json.loads(file.read(min(length, limit)))
        metadata = header.pop("__metadata__", {})
        tensors = tuple(
            Stored(
                name,
                each["dtype"],
                tuple(each["shape"]),
                each["data_offsets"][1] - each["data_offsets"][0],
            )
            for name, each in header.items()
        )
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError) as error:
        why = f"a damaged .safetensors header ({type(error).__name__})"
        raise Corrupt(str(path), why, "Save or download the file again") from None
    size = path.stat().st_size
    declared = 8 + length + sum(each.bytes for each in tensors)
    risks = (
        ()
        if declared == size
        else (Risk(DANGER, f"its header declares {declared:,} bytes, it has {size:,}"),)
    )
    return Contents(path, "safetensors", size, (), (), tensors, {"metadata": metadata}, risks)
