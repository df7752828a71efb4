"""The manifest: the sha256 of every file of a conversion, as ``sha256sum`` writes and checks it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bnexport.destination import manifest_of
from bnexport.disk import file_sha256
from bnexport.errors import Refused
from bnexport.publish import put_in_order

__all__ = ["Entry", "read_manifest", "write_manifest"]

_LINE = re.compile(r"(\\?)([0-9a-f]{64}) [ *](.+)", re.DOTALL)
_LARGEST = 1 << 20


@dataclass(frozen=True)
class Entry:
    """One file of a manifest.

    Attributes:
        name: Beside the manifest.
        state: ``ok``, ``changed`` or ``missing``.
    """

    name: str
    state: str

    @property
    def ok(self) -> bool:
        """Whether it is as it was written."""
        return self.state == "ok"


def write_manifest(
    path: Path, names: Sequence[str], known: Mapping[str, str] | None = None
) -> None:
    """Write the hashes of files in the same folder; of those in ``known`` it is known."""
    digests = dict(known or {})
    lines = [_line(n, digests.get(n) or file_sha256(path.parent / n)) for n in names]
    path.write_text("".join(lines), encoding="utf-8")


def read_manifest(path: Path) -> tuple[Entry, ...]:
    """Hash the files that a manifest lists.

    Args:
        path: The manifest, or the artifact that it stands beside.

    Raises:
        Refused: There is none, or it is not of the form.
    """
    path = path if path.suffix == ".sha256" else manifest_of(path)
    put_in_order(path.parent)
    if not path.is_file():
        raise Refused(str(path), "no such file", "Name the .sha256 file of a conversion")
    try:
        if path.stat().st_size > _LARGEST:
            raise ValueError("too long")
        listed = [_parsed(line) for line in path.read_bytes().decode().rstrip("\n").split("\n")]
    except (ValueError, OSError) as error:
        remedy = "It is what `bnexport convert` or `sha256sum` writes"
        raise Refused(str(path), f"it is no manifest ({error})", remedy) from None
    if not listed:
        raise Refused(str(path), "it lists no file")
    return tuple(Entry(name, _state(path.parent / name, digest)) for name, digest in listed)


def _line(name: str, digest: str) -> str:
    """As sha256sum: a backslash first where the name is escaped."""
    escaped = name.replace("\\", "\\\\").replace("\n", "\\n").replace("\r", "\\r")
    return f"{chr(92) if escaped != name else ''}{digest}  {escaped}\n"


def _parsed(line: str) -> tuple[str, str]:
    found = _LINE.fullmatch(line)
    if found is None:
        raise ValueError(f"the line {line[:60]!r}")
    escaped, digest, name = found.groups()
    if escaped:
        name = re.sub(r"\\(.)", lambda c: {"n": "\n", "r": "\r"}.get(c[1], c[1]), name)
    if name in (".", "..") or "/" in name or "\0" in name:
        raise ValueError(f"{name[:60]!r} is not a file beside it")
    return name, digest


def _state(path: Path, digest: str) -> str:
    if not path.is_file():
        return "missing"
    return "ok" if file_sha256(path) == digest else "changed"
