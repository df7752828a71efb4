"""The ways from a module to a graph."""

from __future__ import annotations

from bnexport.errors import UsageError

__all__ = ["ROADS", "check_road"]

ROADS = ("auto", "fast", "export")


def check_road(road: str) -> None:
    """Raise UsageError where there is no such road."""
    if road not in ROADS:
        raise UsageError(f"capture {road!r}", "there is no such road", f"Known: {', '.join(ROADS)}")
