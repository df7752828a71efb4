"""The ways from a module to a graph, and how thoroughly the result is proved."""

from __future__ import annotations

from bnexport.errors import UsageError

__all__ = ["PROOFS", "ROADS", "check_proof", "check_road"]

ROADS = ("auto", "fast", "export")
PROOFS = ("quick", "full", "thorough")


def check_road(road: str) -> None:
    """Raise UsageError where there is no such road."""
    if road not in ROADS:
        raise UsageError(f"capture {road!r}", "there is no such road", f"Known: {', '.join(ROADS)}")


def check_proof(proof: str) -> None:
    """Raise UsageError where there is no such proof."""
    if proof not in PROOFS:
        raise UsageError(
            f"proof {proof!r}", "there is no such proof", f"Known: {', '.join(PROOFS)}"
        )
