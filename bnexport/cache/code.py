"""The code that a model is made of, as a hash: the modules that are named and what they import, none of them run.

Of the user's own code whole packages count: what a module is and what lies beside it in its package are one. What is
installed counts by its name and version, or by its record of files where it was installed from somebody's folder.
Where a file asks for modules by names that it computes, nothing can be told.

What code reads while it runs, a file of settings or a variable of the environment, is not seen.
"""

from __future__ import annotations

import ast
import hashlib
import os
import re
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path

__all__ = ["code_of", "installed"]

_SITES = ("site-packages", "dist-packages")
_DISTRIBUTION = re.compile(r"(.+)\.(?:dist-info|egg-info)", re.DOTALL)
_STANDARD = tuple(Path(sysconfig.get_path(name)) for name in ("stdlib", "platstdlib"))
_CODE = frozenset({".py", ".so", ".pyd", ".pyc"})
_MOST = 5000  # files
# By these a file may run any other.
_DYNAMIC = frozenset(
    {
        *("import_module", "__import__", "exec", "eval", "run_path", "run_module", "load_source"),
        *("exec_module", "load_module", "spec_from_file_location", "find_loader", "addsitedir"),
    }
)


class _Unknown(Exception):
    """There is code that cannot be told."""


def code_of(names: Iterable[str], files: Iterable[Path] = ()) -> str | None:
    """A hash of the source of modules, and of all that they import; None where some of it cannot be told.

    Args:
        names: ``mynets.seg``, ``mynets.seg.Net``, ``mynets.seg:build`` or ``saved.Net=mynets.seg:Net``.
        files: Modules whose files are known.
    """
    try:
        tops = {
            word.replace(":", ".").partition(".")[0] for name in names for word in name.split("=")
        }
        return _Sources(tops - {"__main__"}, files).hexdigest()
    except (_Unknown, OSError, ValueError, SyntaxError):
        return None


def installed() -> tuple[str, ...]:
    """Every distribution that can be imported from: ``name-version``, with a hash where that may not tell."""
    found: set[str] = set()
    for folder in sys.path:
        try:
            entries = os.listdir(folder or ".")
        except OSError:
            continue
        for entry in entries:
            if match := _DISTRIBUTION.fullmatch(entry):
                found.add(match[1] + _edition(Path(folder or ".", entry)))
    return tuple(sorted(found))


def _edition(info: Path) -> str:
    """Of a distribution that was installed from a folder, whose version may stay while its files change."""
    if not (info / "direct_url.json").exists():
        return ""
    try:
        return f" {hashlib.sha256((info / 'RECORD').read_bytes()).hexdigest()}"
    except OSError:
        return ""


class _Sources:
    """Files of code, each under the name by which it is imported."""

    def __init__(self, tops: Iterable[str], files: Iterable[Path]) -> None:
        self._found: dict[str, bytes] = {}
        self._asked: set[str] = set()
        for top in sorted(tops):
            if not self._take(top, named=True):
                raise _Unknown
        for file in sorted(files):
            self._take_file(Path(os.path.abspath(file)))

    def hexdigest(self) -> str:
        digest = hashlib.sha256()
        for name, content in sorted(self._found.items()):
            digest.update(f"{name}\0{len(content)}\0".encode(errors="surrogateescape"))
            digest.update(content)
        return digest.hexdigest()

    def _take(self, top: str, *, named: bool = False) -> bool:
        """All of a top-level package or module; False where there is none."""
        if top in self._asked and not named:
            return True
        self._asked.add(top)
        places = _places(top)
        if places is None:
            return False
        for place in places:
            if not _is_installed(place) or (named and not place.is_relative_to(_STANDARD[0])):
                self._add_all(place, follow=not _is_installed(place))
        return True

    def _take_file(self, file: Path) -> None:
        """A module by its file, with the package around it."""
        if _is_installed(file):
            self._add(file.name, file, follow=False)
            return
        top = file
        while (top.parent / "__init__.py").is_file():
            top = top.parent
        self._add_all(top, follow=True)

    def _add_all(self, place: Path, *, follow: bool) -> None:
        if place.is_file():
            self._add(place.name, place, follow=follow)
            return
        for folder, folders, names in os.walk(place):
            folders[:] = [n for n in folders if n not in _SITES and n[0] != "."]
            for name in names:
                file = Path(folder, name)
                if file.suffix in _CODE - {".pyc"}:
                    self._add(str(file.relative_to(place.parent)), file, follow=follow)

    def _add(self, name: str, file: Path, *, follow: bool) -> None:
        content = file.read_bytes()
        if self._found.get(name, content) != content:
            raise _Unknown  # two modules of one name
        if name in self._found:
            return
        if len(self._found) >= _MOST:
            raise _Unknown
        self._found[name] = content
        if follow and file.suffix == ".py":
            for top in _imported(content):
                self._take(top)


def _imported(content: bytes) -> Iterator[str]:
    """The top-level modules that a file names in its import statements, wherever these stand.

    Raises:
        _Unknown: It may import others.
    """
    for node in ast.walk(ast.parse(content)):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            if not node.level:
                yield (node.module or "").partition(".")[0]
            elif any(alias.name in _DYNAMIC for alias in node.names):
                raise _Unknown
        elif isinstance(node, ast.Name | ast.Attribute):
            name = node.id if isinstance(node, ast.Name) else node.attr
            # model.eval() is what every file of this kind has
            if name in _DYNAMIC and not (name == "eval" and isinstance(node, ast.Attribute)):
                raise _Unknown


def _places(top: str) -> list[Path] | None:
    """Where a top-level module lies, or the folders of a package; empty: in Python itself; None: nowhere.

    Raises:
        _Unknown: It is not in files.
    """
    spec = getattr(sys.modules.get(top), "__spec__", None) or _spec(top)
    if spec is None:
        return None
    folders = list(spec.submodule_search_locations or ())
    if folders:
        return [Path(os.path.abspath(folder)) for folder in folders]
    if spec.origin in ("built-in", "frozen"):
        return []
    if spec.origin is None or not os.path.isfile(spec.origin):
        raise _Unknown
    return [Path(os.path.abspath(spec.origin))]


def _spec(top: str) -> ModuleSpec | None:
    """As it would be imported, from the current folder first; by other finders, too."""
    found = PathFinder.find_spec(top, [os.getcwd(), *sys.path])
    if found is not None:
        return found
    for finder in sys.meta_path:
        spec = finder.find_spec(top, None) if hasattr(finder, "find_spec") else None
        if spec is not None:
            return spec
    return None


def _is_installed(path: Path) -> bool:
    """Whether it belongs to a distribution or to Python, so that a version tells all of it."""
    standard = any(path.is_relative_to(folder) for folder in _STANDARD)
    return standard or any(part in _SITES for part in path.parts)
