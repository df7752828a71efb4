"""A conversion that was made already: the same model, options and versions, and its files are as they were left.

Told before torch is imported, so that a build script may call `convert` as often as it likes.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bnexport.destination import destination_of, report_of
from bnexport.disk import file_sha256
from bnexport.report.document import SCHEMA, Document, dumps, versions
from bnexport.targets.cuda import find_gpu

__all__ = ["earlier", "place_of", "request_of"]

# What changes neither the files nor the verdict.
_ASIDE = frozenset({"model", "output", "observe", "keep_failed", "force", "isolation"})


def request_of(model: object, options: Mapping[str, Any]) -> str | None:
    """What is asked for, as a hash; None where it cannot be told from files alone.

    Code that the user names (``arch``, ``allow``) may have changed without a trace.

    Args:
        model: As `convert` takes it.
        options: Its other arguments.
    """
    if not isinstance(model, str | os.PathLike) or options.get("arch") or options.get("allow"):
        return None
    try:
        asked = {
            "model": file_sha256(Path(model)),
            "name": Path(model).name,
            "samples": _sha256(options.get("inputs_from")),
            "options": {k: v for k, v in options.items() if k not in _ASIDE | {"inputs_from"}},
            "versions": versions(),
            "gpu": str(find_gpu()),
        }
    except OSError:
        return None  # which the road will say better
    return hashlib.sha256(dumps(_sorted(asked)).encode()).hexdigest()


def place_of(model: str | os.PathLike[str], output: object, target: str | Sequence[str]) -> Path:
    """Where a conversion of this file goes."""
    words = target.split(",") if isinstance(target, str) else target
    path, first = Path(model), words[0].strip()
    named = output if isinstance(output, str | os.PathLike) else None
    return destination_of(named, path.stem, path, first)


def earlier(request: str, destination: Path) -> Document | None:
    """The report of the conversion that left its files at ``destination``, if it was of this request.

    None where there is none, or one of its files is gone or was changed.
    """
    try:
        report = json.loads(report_of(destination).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    if not isinstance(report, dict) or report.get("schema") != SCHEMA:
        return None
    if report.get("request") != request or report.get("ok") is not True:
        return None
    try:
        files = [_moved(file, destination) for file in report["files"]]
        whole = all(file_sha256(Path(each["path"])) == each["sha256"] for each in files)
    except (OSError, KeyError, TypeError):
        return None
    return {**report, "files": files, "unchanged": True} if whole and files else None


def _moved(file: Mapping[str, Any], destination: Path) -> dict[str, Any]:
    """With the path as seen from here."""
    return {**file, "path": str(destination.parent / Path(file["path"]).name)}


def _sha256(path: object) -> str | None:
    return file_sha256(Path(path)) if isinstance(path, str | os.PathLike) else None


def _sorted(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _sorted(value[key]) for key in sorted(value, key=str)}
    return value
