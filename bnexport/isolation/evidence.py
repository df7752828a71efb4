"""What a step was given when it crashed, kept for a report of the fault."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bnexport.folders import cache_folder
from bnexport.isolation.wire import Buffer

__all__ = ["keep"]

_KEPT = 10
_LARGEST = 4 << 30


def keep(step: str, about: Mapping[str, Any], evidence: Mapping[str, Buffer | Path]) -> Path | None:
    """Write a folder with what the step was given; None where that cannot be done.

    Args:
        step: Its name.
        about: What happened, for ``about.json``.
        evidence: File names and contents.
    """
    home = cache_folder() / "crashes"
    folder = home / f"{time.strftime('%Y%m%d-%H%M%S')}-{step}-{os.getpid()}"
    try:
        if sum(map(_size, evidence.values())) > _LARGEST:
            return None
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        (folder / "about.json").write_text(json.dumps(dict(about), indent=1) + "\n")
        for name, content in evidence.items():
            if isinstance(content, Path):
                shutil.copyfile(content, folder / name)
            else:
                (folder / name).write_bytes(content)
        for old in sorted(home.iterdir())[:-_KEPT]:
            shutil.rmtree(old, ignore_errors=True)
    except OSError:  # a full disk: the step's own failure is what is told
        shutil.rmtree(folder, ignore_errors=True)
        return None
    return folder


def _size(content: Buffer | Path) -> int:
    return content.stat().st_size if isinstance(content, Path) else memoryview(content).nbytes
