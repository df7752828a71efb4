"""The switches that say how to speak, known even where the rest of the command line is wrong."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["Mode"]


@dataclass(frozen=True)
class Mode:
    """How the outcome is shown.

    Attributes:
        json: Standard output is one JSON document, on error too.
        quiet: Nothing is printed on success.
        debug: Errors come with their traceback, and library warnings are let through.
    """

    json: bool = False
    quiet: bool = False
    debug: bool = False

    @classmethod
    def of(cls, arguments: Sequence[str]) -> Mode:
        """Read from the raw arguments: a usage error must be shown in the form asked for, too."""
        end = arguments.index("--") if "--" in arguments else len(arguments)
        given = frozenset(arguments[:end])
        return cls("--json" in given, bool(given & {"--quiet", "-q"}), "--debug" in given)
