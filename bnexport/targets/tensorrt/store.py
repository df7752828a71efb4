"""Engines of earlier builds, kept by what they were built of: the same graph is not built twice."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import secrets
import shutil
import time
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path

from bnexport.disk import file_sha256
from bnexport.folders import cache_folder
from bnexport.report.document import dumps
from bnexport.targets.cuda import find_gpu
from bnexport.targets.tensorrt.flavour import Flavour
from bnexport.targets.tensorrt.info import EngineInfo
from bnexport.targets.tensorrt.options import EngineOptions, Targets

__all__ = ["EngineStore", "key_of"]
logger = logging.getLogger(__name__)

# Rises when the builder makes other engines of the same graph and options.
_BUILDER = 1
_LARGEST = 20 << 30
_DAY = 24 * 3600
_ENGINE, _FACTS = "engine", "engine.json"


def key_of(onnx: list[Path], flavour: Flavour, targets: Targets, options: EngineOptions) -> str:
    """A name for what a build makes of these.

    Args:
        onnx: The graph's file, and its external data.
        flavour: Which TensorRT; its release counts.
        targets: Which GPUs; of tensorrt, which times its kernels, the very one that is here counts.
        options: All of them but where timings are kept.
    """
    asked = {
        "builder": _BUILDER,
        "onnx": [file_sha256(path) for path in onnx],
        "flavour": [flavour.name, flavour.version],
        "targets": targets.names,
        "gpu": "" if flavour.rtx else str(find_gpu()),
        "options": asdict(
            replace(options, timing_cache=None, keep_timings=True, keep_engines=True)
        ),
    }
    return hashlib.sha256(dumps(asked).encode()).hexdigest()


class EngineStore:
    """A folder of engines. What cannot be read or written there costs a build and nothing else.

    Args:
        folder: None: in the user's cache folder.
        largest: In bytes: past it, what was not used for the longest time goes.
    """

    def __init__(self, folder: Path | None = None, largest: int = _LARGEST) -> None:
        self._folder = folder or cache_folder() / "engines"
        self._largest = largest

    def take(self, key: str, path: Path) -> EngineInfo | None:
        """Copy the engine of this name to ``path``; None where there is none, or it is damaged."""
        entry = self._folder / key
        try:
            facts = json.loads((entry / _FACTS).read_text(encoding="utf-8"))
            info = EngineInfo.from_json(facts["info"])
            shutil.copyfile(entry / _ENGINE, path)
            if file_sha256(path) == facts["sha256"]:
                os.utime(entry)
                return replace(info, reused=True)
            logger.debug("engine %s is damaged", entry)
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError) as error:
            logger.debug("engine %s not taken: %s", entry, error)
        path.unlink(missing_ok=True)
        shutil.rmtree(entry, ignore_errors=True)
        return None

    def keep(self, key: str, path: Path, info: EngineInfo) -> None:
        """Copy the engine at ``path`` under this name: whole or not at all."""
        staged = self._folder / f".{key[:16]}.{os.getpid()}.{secrets.token_hex(4)}"
        try:
            staged.mkdir(parents=True, mode=0o700)
            shutil.copyfile(path, staged / _ENGINE)
            facts = {"sha256": file_sha256(path), "info": asdict(info)}
            (staged / _FACTS).write_text(dumps(facts), encoding="utf-8")
            staged.rename(self._folder / key)
            self._prune()
        except OSError as error:  # a full disk, or another process that was first
            logger.debug("engine not kept: %s", error)
            shutil.rmtree(staged, ignore_errors=True)

    def _prune(self) -> None:
        for left in self._folder.glob(".*"):  # by a process that was killed
            if time.time() - _used(left) > _DAY:
                shutil.rmtree(left, ignore_errors=True)
        entries = sorted(self._entries(), key=_used, reverse=True)
        total = 0
        for entry in entries:
            total += sum(file.stat().st_size for file in entry.iterdir())
            if total > self._largest:
                shutil.rmtree(entry, ignore_errors=True)

    def _entries(self) -> Iterator[Path]:
        return (each for each in self._folder.iterdir() if each.is_dir() and each.name[0] != ".")


def _used(entry: Path) -> float:
    return entry.stat().st_mtime
