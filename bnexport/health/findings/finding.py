"""One finding."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["SEVERITIES", "Finding", "at_least"]

SEVERITIES = ("note", "warning", "error")


@dataclass(frozen=True)
class Finding:
    """What is questionable, where, and what can be done.

    Attributes:
        code: As in docs/findings.md: ``BNX105``.
        severity: ``error``: outputs are wrong or undefined; ``warning``: they will be, at some precision, batch size or
            further training; ``note``: worth knowing.
        layer: The qualified name; empty for the model itself.
        what: What was seen, with its numbers.
        effect: What that does to the user.
        remedy: What to do.
    """

    code: str
    severity: str
    layer: str
    what: str
    effect: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.code} {self.layer or 'the model'}: {self.what}"


def at_least(severity: str, least: str) -> bool:
    """Whether one severity is as grave as another; nothing is as grave as ``never``."""
    return least in SEVERITIES and SEVERITIES.index(severity) >= SEVERITIES.index(least)
