"""Findings as readers want them: together by code, and the verdict in a line."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from bnexport.health.findings.catalogue import RULES
from bnexport.health.findings.finding import SEVERITIES

__all__ = ["Group", "counted", "grouped", "verdict"]

Document = dict[str, Any]


@dataclass(frozen=True)
class Group:
    """Findings of one code and one severity.

    Attributes:
        code: Theirs.
        severity: Theirs.
        title: What it is.
        effect: What it does to the user.
        remedy: What to do.
        findings: In the order of the layers.
    """

    code: str
    severity: str
    title: str
    effect: str
    remedy: str
    findings: tuple[Document, ...]


def grouped(findings: Sequence[Document]) -> list[Group]:
    """The gravest first, then by code."""
    by_kind: dict[tuple[int, str], list[Document]] = {}
    for each in findings:
        kind = (-SEVERITIES.index(each["severity"]), each["code"])
        by_kind.setdefault(kind, []).append(each)
    return [
        Group(
            code,
            same[0]["severity"],
            RULES[code].title,
            same[0]["effect"],
            same[0]["remedy"],
            tuple(same),
        )
        for (_, code), same in sorted(by_kind.items())
    ]


def verdict(findings: Sequence[Document]) -> str:
    """``2 errors, 1 warning``."""
    found = [each["severity"] for each in findings]
    words = [counted(found.count(name), name) for name in reversed(SEVERITIES) if name in found]
    return ", ".join(words) or "nothing questionable"


def counted(count: int, noun: str) -> str:
    """``1 layer``, ``2 layers``."""
    return f"{count} {noun}" + ("" if count == 1 else "s")
