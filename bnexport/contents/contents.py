"""What is told of a file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

__all__ = ["DANGER", "RISK", "Contents", "Name", "Record", "Risk", "Stored"]

RISK, DANGER = "risk", "danger"


@dataclass(frozen=True)
class Record:
    """One record of an archive.

    Attributes:
        name: Its name.
        bytes: Its size.
    """

    name: str
    bytes: int


@dataclass(frozen=True)
class Name:
    """A name that a pickle mentions.

    Attributes:
        name: ``module.qualname``.
        called: Whether the file asks to call it, or to make an instance of it.
        standing: ``plain`` (of bnexport's closed list), ``layer`` (torch's own), ``class`` (yours to allow),
            ``never``.
    """

    name: str
    called: bool
    standing: str


@dataclass(frozen=True)
class Stored:
    """A tensor, as the file declares it.

    Attributes:
        name: Where it is.
        dtype: Of torch, or of the format.
        shape: Its shape.
        bytes: What it takes; of an ONNX file's external data, too.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    bytes: int


@dataclass(frozen=True)
class Risk:
    """What could hurt whoever believes the file.

    Attributes:
        severity: ``risk`` or ``danger``.
        text: A sentence.
    """

    severity: str
    text: str


@dataclass(frozen=True)
class Contents:
    """A file's contents.

    Attributes:
        path: The file.
        kind: What it is.
        bytes: Its size.
        records: Of an archive.
        names: Of its pickles.
        tensors: By name.
        facts: What else is told: operators, opsets, metadata; JSON values.
        risks: The gravest first.
    """

    path: Path
    kind: str
    bytes: int
    records: tuple[Record, ...] = ()
    names: tuple[Name, ...] = ()
    tensors: tuple[Stored, ...] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)
    risks: tuple[Risk, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The document."""
        return {"schema": "bnexport.contents/1", **asdict(self), "path": str(self.path)}
