"""Findings that the user knows of: ``BNX118``, ``BNX118:backbone.*``, on the command line or in a file."""

from __future__ import annotations

import fnmatch
import tomllib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bnexport.errors import UsageError
from bnexport.health.findings.catalogue import RULES
from bnexport.health.findings.finding import Finding

__all__ = ["Ignored", "parse_ignored", "read_ignored", "sift"]

_FORM = 'Write "BNX118", or "BNX118:backbone.*" for some layers'


@dataclass(frozen=True)
class Ignored:
    """A code, of all layers or of some.

    Attributes:
        code: The code.
        layers: A pattern of qualified names, as the shell's; ``*``: all.
    """

    code: str
    layers: str = "*"

    def covers(self, finding: Finding) -> bool:
        """Whether the finding is one of these."""
        return finding.code == self.code and fnmatch.fnmatchcase(finding.layer, self.layers)


def parse_ignored(text: object) -> Ignored:
    """Read ``CODE[:PATTERN]``.

    Raises:
        UsageError: It is of another form, or there is no such code.
    """
    code, colon, layers = str(text).partition(":")
    if not isinstance(text, str) or (colon and not layers):
        raise UsageError(f"ignore {text!r}", "it is not CODE[:LAYER]", _FORM)
    if code not in RULES:
        raise UsageError(f"ignore {text!r}", f"there is no finding {code}", _FORM)
    return Ignored(code, layers or "*")


def read_ignored(path: Path | None = None) -> tuple[Ignored, ...]:
    """From a TOML file: ``ignore`` at its top or in ``[tool.bnexport.inspect]``.

    Args:
        path: The file; None: the ``pyproject.toml`` of this folder or the next one above it that has one.

    Raises:
        UsageError: It cannot be read, or holds something else.
    """
    chosen = path or _project()
    if chosen is None:
        return ()
    try:
        found: dict[str, Any] = tomllib.loads(chosen.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        if path is None:
            return ()  # nobody asked for it
        raise UsageError(f"{chosen}", f"it cannot be read ({error})", "Give a TOML file") from error
    table = found.get("tool", {}).get("bnexport", {}).get("inspect", {})
    given = table.get("ignore", found.get("ignore", []) if path else [])
    if not isinstance(given, list):
        raise UsageError(f"ignore in {chosen}", "it is no list", 'As in ignore = ["BNX118"]')
    return tuple(map(parse_ignored, given))


def sift(
    findings: Iterable[Finding], ignored: Sequence[Ignored]
) -> tuple[tuple[Finding, ...], tuple[Finding, ...]]:
    """Those that count, and those that are ignored."""
    every = tuple(findings)
    known = tuple(each for each in every if any(one.covers(each) for one in ignored))
    return tuple(each for each in every if each not in known), known


def _project() -> Path | None:
    here = Path.cwd()
    for folder in (here, *here.parents):
        if (path := folder / "pyproject.toml").is_file():
            return path
    return None
