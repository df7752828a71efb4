"""A conversion that was made already: the same model, options and versions, and its files are as they were left.

Told before torch is imported, so that a build script may call `convert` as often as it likes.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bnexport.cache.code import code_of, installed
from bnexport.destination import destination_of, report_of
from bnexport.disk import file_sha256
from bnexport.report.document import SCHEMA, Document, dumps, versions
from bnexport.targets.cuda import find_gpu

__all__ = ["earlier", "place_of", "request_of"]

# What changes neither the files nor the verdict.
_ASIDE = frozenset({"model", "output", "observe", "keep_failed", "force", "isolation", "cache"})


def request_of(model: object, options: Mapping[str, Any], *, code: bool = False) -> str | None:
    """What is asked for, as a hash; None where it cannot be told.

    Code that the user names (``arch``, ``allow``) may change without a trace in the model's file.

    Args:
        model: As `convert` takes it.
        options: Its other arguments.
        code: Whether source code is looked at: then what needs code is told, too, and so is a live module.
    """
    named = (*filter(None, [options.get("arch")]), *(options.get("allow") or ()))
    if model is None or (named and not code):
        return None  # --arch alone: its weights are drawn anew each time
    if not _is_json(options.get("arch_args")):
        return None  # what is no JSON may be written alike and be another
    try:
        content = _content(model, code)
        source = code_of(named) if named else ""
        if content is None or source is None:
            return None
        asked = {
            **content,
            "code": source,
            "installed": installed() if named or not _is_path(model) else (),
            "samples": _sha256(options.get("inputs_from")),
            "options": {k: v for k, v in options.items() if k not in _ASIDE | {"inputs_from"}},
            "versions": _versions(),
            "gpu": str(find_gpu()),
        }
    except OSError:
        return None  # which the road will say better
    return hashlib.sha256(dumps(_sorted(asked)).encode()).hexdigest()


def _content(model: object, code: bool) -> dict[str, str] | None:
    if isinstance(model, str | os.PathLike):
        return {"model": file_sha256(Path(model)), "name": Path(model).name}
    torch = sys.modules.get("torch")
    if not code or torch is None or not isinstance(model, torch.nn.Module):
        return None
    from bnexport.cache.live import module_hash

    found = module_hash(model)
    return None if found is None else {"module": found}


def _versions() -> dict[str, str]:
    """Without the kernel's: the machines of a build service differ in that, and it has no part in the files."""
    found = {key: value for key, value in versions().items() if key != "platform"}
    return found | {"system": platform.system(), "machine": platform.machine()}


def place_of(model: object, output: object, target: str | Sequence[str]) -> Path:
    """Where a conversion of this file or module goes."""
    words = target.split(",") if isinstance(target, str) else target
    first = words[0].strip()
    named = output if isinstance(output, str | os.PathLike) else None
    if isinstance(model, str | os.PathLike):
        return destination_of(named, Path(model).stem, Path(model), first)
    return destination_of(named, type(model).__name__.lower(), None, first)


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


def _is_json(value: object) -> bool:
    if isinstance(value, Mapping):
        return all(type(key) is str and _is_json(item) for key, item in value.items())
    if isinstance(value, list | tuple):
        return all(_is_json(item) for item in value)
    return type(value) in (bool, int, float, str, type(None))


def _is_path(model: object) -> bool:
    return isinstance(model, str | os.PathLike)


def _sha256(path: object) -> str | None:
    return file_sha256(Path(path)) if isinstance(path, str | os.PathLike) else None


def _sorted(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _sorted(value[key]) for key in sorted(value, key=str)}
    return value
