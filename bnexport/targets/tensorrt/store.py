"""Engines of earlier builds, kept by what they were built of: the same graph is not built twice."""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
from dataclasses import asdict, replace
from pathlib import Path

from bnexport.disk import file_sha256
from bnexport.folders import cache_folder
from bnexport.report.document import dumps
from bnexport.shelf import Shelf
from bnexport.targets.cuda import find_gpu
from bnexport.targets.tensorrt.flavour import Flavour
from bnexport.targets.tensorrt.info import EngineInfo
from bnexport.targets.tensorrt.options import EngineOptions, Targets

__all__ = ["EngineStore", "key_of"]
logger = logging.getLogger(__name__)

# Rises when the builder makes other engines of the same graph and options.
_BUILDER = 1
_LARGEST = 20 << 30
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
    """A shelf of engines. What cannot be read or written there costs a build and nothing else.

    Args:
        folder: None: in the user's cache folder.
        largest: In bytes: past it, what was not used for the longest time goes.
    """

    def __init__(self, folder: Path | None = None, largest: int = _LARGEST) -> None:
        self._shelf = Shelf(folder or cache_folder() / "engines", largest)

    def take(self, key: str, path: Path) -> EngineInfo | None:
        """Copy the engine of this name to ``path``; None where there is none, or it is damaged."""
        entry = self._shelf.find(key)
        if entry is None:
            return None
        try:
            facts = json.loads((entry / _FACTS).read_text(encoding="utf-8"))
            info = EngineInfo.from_json(facts["info"])
            shutil.copyfile(entry / _ENGINE, path)
            if file_sha256(path) == facts["sha256"]:
                return replace(info, reused=True)
            logger.debug("engine %s is damaged", entry)
        except (OSError, ValueError, KeyError, TypeError) as error:
            logger.debug("engine %s not taken: %s", entry, error)
        path.unlink(missing_ok=True)
        self._shelf.drop(key)
        return None

    def keep(self, key: str, path: Path, info: EngineInfo) -> None:
        """Copy the engine at ``path`` under this name: whole or not at all."""

        def fill(folder: Path) -> None:
            shutil.copyfile(path, folder / _ENGINE)
            facts = {"sha256": file_sha256(path), "info": asdict(info)}
            (folder / _FACTS).write_text(dumps(facts), encoding="utf-8")

        self._shelf.put(key, fill)
