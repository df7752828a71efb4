"""Where bnexport keeps what it may lose: the user's cache folder."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["cache_folder", "scratch"]


def cache_folder() -> Path:
    """``$BNEXPORT_CACHE``, else ``bnexport`` in the user's cache folder by the XDG specification; may not exist."""
    if named := os.environ.get("BNEXPORT_CACHE"):
        return Path(named)
    home = os.environ.get("XDG_CACHE_HOME", "")
    base = Path(home) if os.path.isabs(home) else Path.home() / ".cache"
    return base / "bnexport"


@contextmanager
def scratch(purpose: str) -> Iterator[Path]:
    """A folder for the length of a ``with`` block; what a killed process leaves, the next one removes.

    Raises:
        OutputError: The cache folder cannot be written.
    """
    from bnexport.disk import output_errors
    from bnexport.publish import Staging

    home = cache_folder() / "scratch"
    with output_errors(home):
        home.mkdir(parents=True, exist_ok=True, mode=0o700)
    with Staging(home / f"{purpose}-{secrets.token_hex(4)}") as staging:
        yield staging.folder
