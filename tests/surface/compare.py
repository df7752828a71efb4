"""What a source uses, held against what each release has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from surface.model import Findings, Name, Surface, Use, has

__all__ = ["missing", "nowhere", "table"]


def missing(findings: Findings, surface: Surface) -> dict[Name, list[str]]:
    """The names that a release lacks and bnexport would run into there, with their places."""
    found: dict[Name, list[str]] = {}
    for use in findings.uses:
        if _reached(use, surface) and not has(surface, use.name):
            found.setdefault(use.name, []).append(use.place)
    return {name: sorted(places) for name, places in sorted(found.items())}


def nowhere(findings: Findings, surfaces: Mapping[str, Surface]) -> list[Name]:
    """Optional names that no release has: a slip of the pen, which hides what it guards."""
    return [name for name in sorted(findings.optional) if not _where(name, surfaces)]


def table(findings: Findings, surfaces: Mapping[str, Surface]) -> str:
    """For people: what each release lacks, and where the names are that may be absent."""
    width = max(map(len, surfaces), default=0)
    lines = []
    for title, surface in surfaces.items():
        lacking = missing(findings, surface)
        text = "; ".join(f"{name} ({', '.join(places)})" for name, places in lacking.items())
        lines.append(f"{title:{width}}  missing: {text or 'none'}")
    lines += ["", "Where the names are that are asked for first, or stand behind such a question:"]
    for name, where in _optional(findings, surfaces).items():
        if name in findings.optional or len(where) < len(surfaces):
            lines.append(f"  {name}: {_together(where, list(surfaces))}")
    return "\n".join(lines)


def _together(where: Sequence[str], every: Sequence[str]) -> str:
    """``tensorrt 10.3.0 10.8.0.43, tensorrt_rtx``: without versions where all of them have it."""
    if where == every:
        return "all"
    groups: dict[str, list[str]] = {}
    for title in where:
        groups.setdefault(_library(title), []).append(title)
    parts = []
    for name, group in groups.items():
        whole = group == [title for title in every if _library(title) == name]
        versions = [] if whole else [title.partition(" ")[2] for title in group]
        parts.append(" ".join([name, *versions]))
    return ", ".join(parts) or "none"


def _library(title: str) -> str:
    return title.partition(" ")[0]


def _reached(use: Use, surface: Surface) -> bool:
    return all(has(surface, guard.name) == guard.present for guard in use.guards)


def _optional(findings: Findings, surfaces: Mapping[str, Surface]) -> dict[Name, list[str]]:
    names = findings.optional | {use.name for use in findings.uses if use.guards}
    return {name: _where(name, surfaces) for name in sorted(names)}


def _where(name: Name, surfaces: Mapping[str, Surface]) -> list[str]:
    return [title for title, surface in surfaces.items() if has(surface, name)]
