"""What tensorrt's kernels took in earlier builds, kept for each GPU and release: a second build measures less."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from bnexport.folders import cache_folder
from bnexport.targets.cuda import find_gpu
from bnexport.targets.tensorrt.flavour import Flavour

__all__ = ["Timings"]
logger = logging.getLogger(__name__)


class Timings:
    """The file that holds them.

    Args:
        flavour: Whose timings.
        path: The file; None: one for the GPU and the release in the user's cache folder.
    """

    def __init__(self, flavour: Flavour, path: Path | None) -> None:
        gpu = find_gpu()
        device = gpu if isinstance(gpu, str) else f"{gpu.name} {gpu.target}"
        name = re.sub(r"[^\w.]+", "-", f"{flavour.name}-{flavour.version}-{device}") + ".timings"
        self._path = path or cache_folder() / "timings" / name

    @contextmanager
    def lent_to(self, config: Any) -> Iterator[None]:
        """Let a build use them, and keep what it adds.

        A cache that cannot be read or written costs time and nothing else: the debug log says so.
        """
        cache = config.create_timing_cache(self._read())
        if cache is None:  # of another GPU or release
            cache = config.create_timing_cache(b"")
        config.set_timing_cache(cache, False)
        yield
        self._write(bytes(memoryview(config.get_timing_cache().serialize())))

    def _read(self) -> bytes:
        try:
            return self._path.read_bytes()
        except FileNotFoundError:
            return b""
        except OSError as error:
            logger.debug("timings not read: %s", error)
            return b""

    def _write(self, content: bytes) -> None:
        beside = self._path.with_name(f".{self._path.name}.{os.getpid()}")
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            beside.write_bytes(content)
            os.replace(beside, self._path)  # two builds at once: the later one's is kept
        except OSError as error:
            logger.debug("timings not written: %s", error)
            with suppress(OSError):
                beside.unlink()
