"""What a conversion made, and how it fails."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from bnexport.destination import manifest_of, report_of
from bnexport.errors import ParityFailure
from bnexport.ledger import Ledger
from bnexport.parity.result import Parity
from bnexport.report.back import ledger_of, parity_of
from bnexport.report.document import Document

__all__ = ["Conversion", "ConversionFailed"]


@dataclass(frozen=True)
class Conversion:
    """What a conversion made, and the proof.

    Attributes:
        path: The main artifact: that of the first target.
        files: Every published file, the manifest and the report last.
        ledger: What became of every BatchNorm.
        parity: Every check.
        report: Where the report lies.
        document: Everything that the report says.
        unchanged: Whether it was found as an earlier conversion of the same left it.
    """

    path: Path
    files: tuple[Path, ...]
    ledger: Ledger
    parity: Parity
    report: Path
    document: Document
    unchanged: bool = False

    @classmethod
    def of(cls, found: Document, destination: Path) -> Conversion:
        """The conversion that left its report at ``destination``."""
        files = tuple(Path(each["path"]) for each in found["files"])
        report, manifest = report_of(destination), manifest_of(destination)
        beside = (manifest, report) if manifest.exists() else (report,)
        return cls(
            files[0], (*files, *beside), ledger_of(found), parity_of(found), report, found, True
        )

    @property
    def ok(self) -> bool:
        """Whether every check passed."""
        return self.parity.ok

    def to_json(self) -> Document:
        """The report document."""
        return self.document


class ConversionFailed(ParityFailure):
    """The verification failed, so nothing was published.

    Attributes:
        conversion: What would have been; its files are gone unless they were to be kept.
    """

    def __init__(self, failure: ParityFailure, conversion: Conversion, kept: bool) -> None:
        where = (
            f"The failed files are kept: {conversion.path}." if kept else "Nothing was published."
        )
        remedy = f"{failure.remedy}. {where}" if failure.remedy else where
        super().__init__(failure.what, failure.why, remedy)
        self.conversion = conversion
