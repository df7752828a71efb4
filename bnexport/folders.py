"""Where bnexport keeps what it may lose: the user's cache folder."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["cache_folder"]


def cache_folder() -> Path:
    """``$BNEXPORT_CACHE``, else ``bnexport`` in the user's cache folder by the XDG specification; may not exist."""
    if named := os.environ.get("BNEXPORT_CACHE"):
        return Path(named)
    home = os.environ.get("XDG_CACHE_HOME", "")
    base = Path(home) if os.path.isabs(home) else Path.home() / ".cache"
    return base / "bnexport"
