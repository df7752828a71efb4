"""Every error that bnexport raises on purpose: one root, an exit code on each, a message fit to show.

A message has three parts: what is wrong (naming the thing), why, and the remedy.
"""

from typing import ClassVar

__all__ = [
    "BnexportError",
    "ExportError",
    "MissingRuntime",
    "NativeFailure",
    "OutputError",
    "ParityFailure",
    "Refused",
    "UsageError",
]


class BnexportError(Exception):
    """The root of bnexport's errors.

    Args:
        what: The thing that is wrong, by its name.
        why: The reason, where it is not plain from ``what``.
        remedy: What the user can do or type.
    """

    exit_code: ClassVar[int] = 3

    def __init__(self, what: str, why: str = "", remedy: str = "") -> None:
        super().__init__(what, why, remedy)
        self.what, self.why, self.remedy = (part.rstrip(". \n") for part in (what, why, remedy))

    def __str__(self) -> str:
        text = f"{self.what}: {self.why}" if self.why else self.what
        return f"{text}. {self.remedy}." if self.remedy else text


class ParityFailure(BnexportError):
    """A runtime disagrees with the reference, or a sample's output depends on its neighbours."""

    exit_code = 1


class UsageError(BnexportError):
    """An option or argument cannot be used as given."""

    exit_code = 2


class OutputError(UsageError):
    """The destination cannot be written."""


class Refused(BnexportError):
    """The input cannot be read, is not safe to read, or cannot be exported truthfully."""

    exit_code = 3


class ExportError(BnexportError):
    """The model was understood but cannot be expressed in the target."""

    exit_code = 4


class MissingRuntime(BnexportError):
    """A runtime that was asked for is not installed or not usable here."""

    exit_code = 5


class NativeFailure(BnexportError):
    """Native code crashed, hung or took too much memory in its worker process; nothing else was harmed."""

    exit_code = 6
