"""The code that a model is made of, as a hash: the modules that are named and what they import, none of them run.

Modules of the user's own are followed by their import statements. What is installed counts by its name and version,
and is looked into where it was named itself. What a module reads while it runs, a file of settings say, is not seen.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import os
import re
import sys
import sysconfig
from collections.abc import Iterable, Iterator, Sequence
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path

__all__ = ["code_of", "installed"]

_SITES = ("site-packages", "dist-packages")
_DISTRIBUTION = re.compile(r"(.+)\.(?:dist-info|egg-info)", re.DOTALL)
_STANDARD = Path(sysconfig.get_path("stdlib"))


def code_of(names: Iterable[str], files: Iterable[Path] = ()) -> str | None:
    """A hash of the source of modules, and of all that they import; None where some of it cannot be found or read.

    Args:
        names: ``mynets.seg``, ``mynets.seg.Net`` or ``mynets.seg:build``.
        files: Modules whose files are known.
    """
    sources = set(files)
    for name in set(names):
        found = list(_files_of(name.replace(":", "."), _search()))
        if not found:
            return None
        sources |= set(_tree(found[0]) if _is_installed(found[0]) else found)
    try:
        # By the names of files alone: a checkout may lie elsewhere in another job.
        read = sorted((path.name, content) for path, content in _closure(sources))
    except (OSError, ValueError, SyntaxError):
        return None
    digest = hashlib.sha256()
    for file, content in read:
        digest.update(f"{file}\0{len(content)}\0".encode())
        digest.update(content)
    return digest.hexdigest()


def installed() -> tuple[str, ...]:
    """Every distribution that can be imported from, ``name-version``."""
    found: set[str] = set()
    for folder in sys.path:
        try:
            entries = os.listdir(folder or ".")
        except OSError:
            continue
        found |= {match[1] for match in map(_DISTRIBUTION.fullmatch, entries) if match}
    return tuple(sorted(found))


def _search() -> list[str]:
    """Where user code is looked for: as when it is imported, in the current folder first."""
    return [os.getcwd(), *sys.path]


def _closure(sources: Iterable[Path]) -> Iterator[tuple[Path, bytes]]:
    """Each file and its content, and those of the user's own modules that they import."""
    waiting, seen = list(sources), set[Path]()
    while waiting:
        path = waiting.pop().resolve()
        if path in seen:
            continue
        seen.add(path)
        content = path.read_bytes()
        yield path, content
        if path.suffix == ".py" and not _is_installed(path):
            waiting += _imported(path, content)


def _imported(path: Path, content: bytes) -> Iterator[Path]:
    """The files of the user's own modules that a file names in its import statements, wherever these stand."""
    for node in ast.walk(ast.parse(content)):
        if isinstance(node, ast.ImportFrom) and node.level:
            folder = path.parents[node.level - 1]
            inside = node.module.split(".") if node.module else []
            for alias in node.names:
                yield from _below(folder, [*inside, alias.name])
        elif isinstance(node, ast.ImportFrom | ast.Import):
            base = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            for alias in node.names:
                found = _files_of(".".join([*base, alias.name]), [str(path.parent), *_search()])
                yield from (each for each in found if not _is_installed(each))


def _below(folder: Path, parts: Sequence[str]) -> Iterator[Path]:
    """The files of a package and of the modules in it, as far as they are files."""
    candidates = [folder / "__init__.py"]
    for part in parts:
        candidates += [folder / f"{part}.py", folder / part / "__init__.py"]
        folder = folder / part
    yield from (each for each in candidates if each.is_file())


def _files_of(name: str, path: Sequence[str]) -> Iterator[Path]:
    """Of a module, and of the packages around it; what is behind the last module is a name in it."""
    first, *parts = name.split(".")
    if first in sys.stdlib_module_names:
        return
    spec, full = PathFinder.find_spec(first, list(path)) or _hooked(first), first
    while spec is not None:
        if spec.origin and os.path.isfile(spec.origin):
            yield Path(spec.origin)
        if not parts or spec.submodule_search_locations is None:
            return
        full = f"{full}.{parts.pop(0)}"
        spec = PathFinder.find_spec(full, list(spec.submodule_search_locations))


def _hooked(name: str) -> ModuleSpec | None:
    """By other finders: those of packages that are installed from a checkout, say."""
    try:
        return importlib.util.find_spec(name)
    except (ImportError, ValueError):
        return None


def _is_installed(path: Path) -> bool:
    """Whether it belongs to a distribution or to Python, so that a version tells all of it."""
    return any(part in _SITES for part in path.parts) or path.is_relative_to(_STANDARD)


def _tree(file: Path) -> Iterator[Path]:
    """All source of an installed package, or the one module."""
    yield from file.parent.rglob("*.py") if file.name == "__init__.py" else [file]
