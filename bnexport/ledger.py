"""The ledger: one row a BatchNorm, by the module's qualified name, with what became of it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

__all__ = ["Ledger", "LedgerRow"]


@dataclass(frozen=True)
class LedgerRow:
    """One BatchNorm.

    Attributes:
        name: The module's qualified name; the graph value's name where no module stands behind it.
        kind: The module's class, or the operator.
        channels: The number of channels; 0 where it is not known.
        fate: ``absorbed`` (into a linear operator), ``reduced`` (in part: one Add or Mul stays), ``merged``
            (with another affine), ``kept``, or ``unused`` (no forward pass reaches it).
        into: The module or graph value that took it up; empty where nothing did.
        reason: Why it, or a part of it, was kept; empty where nothing was.
    """

    name: str
    kind: str
    channels: int
    fate: str
    into: str = ""
    reason: str = ""


@dataclass(frozen=True)
class Ledger:
    """Every BatchNorm of one conversion."""

    rows: tuple[LedgerRow, ...] = ()

    @property
    def totals(self) -> dict[str, int]:
        """How many BatchNorms met each fate."""
        return dict(Counter(row.fate for row in self.rows))

    @property
    def kept(self) -> tuple[LedgerRow, ...]:
        """The BatchNorms that are still in the file."""
        return tuple(row for row in self.rows if row.fate == "kept")

    def __str__(self) -> str:
        if not self.rows:
            return "no BatchNorm"
        fates = ", ".join(f"{count} {fate}" for fate, count in self.totals.items())
        return f"{len(self.rows)} BatchNorm: {fates}"
