"""The report: one JSON document a conversion, of a versioned and documented form."""

from bnexport.report.document import (
    SCHEMA,
    Document,
    Facts,
    OutputFile,
    PassRun,
    Size,
    Source,
    document,
    dumps,
    ledger_json,
    parity_json,
    versions,
    write_report,
)

__all__ = [
    "SCHEMA",
    "Document",
    "Facts",
    "OutputFile",
    "PassRun",
    "Size",
    "Source",
    "document",
    "dumps",
    "ledger_json",
    "parity_json",
    "versions",
    "write_report",
]
