"""What TensorRT says, kept: its own logger writes to standard output."""

from __future__ import annotations

import logging
import re
from typing import Any

__all__ = ["Messages", "make_logger", "reason"]
logger = logging.getLogger("bnexport.tensorrt")

_PREFIX = re.compile(r"^\S+: Error Code \d+: ")
_PLACE = re.compile(r" In \S+ at /\S+:\d+\)?$")
_CHECK = re.compile(r"^Myelin .*CHECK\(.*?\) failed\. (?=\w)")
_ROUTINE = "Make sure "  # "Make sure input x has Int64 binding": on every integer input
_LONGEST = 400


class Messages:
    """Errors and warnings, in the order in which they came, each once."""

    def __init__(self) -> None:
        self.errors: list[str] = []
        self.warnings: list[str] = []

    def add(self, severity: str, text: str) -> None:
        """Keep a message of the given severity, by its name in ``ILogger.Severity``."""
        logger.debug("%s: %s", severity, text)
        if severity in ("ERROR", "INTERNAL_ERROR") and text not in self.errors:
            self.errors.append(text)
        elif severity == "WARNING" and _ROUTINE not in text and text not in self.warnings:
            self.warnings.append(text)


def make_logger(module: Any, messages: Messages) -> Any:
    """An ``ILogger`` of this TensorRT that hands everything to ``messages``."""

    class Logger(module.ILogger):  # type: ignore[misc]
        def __init__(self) -> None:
            module.ILogger.__init__(self)  # pybind11 wants the base named

        def log(self, severity: Any, text: str) -> None:
            messages.add(severity.name, text)

    return Logger()


def reason(messages: Messages) -> str:
    """The errors in one sentence, without the library's source lines."""
    if not messages.errors:
        return "the library gave no reason"
    last = messages.errors[-1]
    text = _CHECK.sub("", _PLACE.sub("", _PREFIX.sub("", last))).strip().rstrip(".")
    return text if len(text) <= _LONGEST else text[:_LONGEST] + "..."
