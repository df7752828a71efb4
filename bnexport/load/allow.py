"""Which classes of the environment a file's records may become, as the user named them.

pkg.mod.Class                one class (or function)
pkg.mod                      those defined in this module or package, and below it
__main__.Net=pkg.mod:Net     the file's name on the left, where it lives on the right
"""

from __future__ import annotations

import functools
import sys
import types
from collections.abc import Sequence

from bnexport.errors import UsageError
from bnexport.load.errors import ArchRefused, Unsafe
from bnexport.load.importing import locate, user_code

__all__ = ["Allowed"]

_REMEDY = "Install or fix it, or name another with --allow"


class Allowed:
    """The user's list, and the objects that it lets in.

    Args:
        specs: As the module's docstring says.

    Raises:
        UsageError: A spec is malformed or far too wide.
    """

    def __init__(self, specs: Sequence[str] = ()) -> None:
        self._targets: dict[str, str] = {}
        for spec in specs:
            name, _, target = spec.partition("=")
            target = (target or name).replace(":", ".")
            _check(spec, name, target)
            self._targets[name] = target
        self._found: dict[str, object] = {}

    def covers(self, path: str) -> bool:
        """Whether the user named ``path`` or a package above it."""
        return self.named(path) or self._below(path)

    def resolve(self, path: str) -> object:
        """The class or function that ``path`` stands for in this environment.

        Raises:
            Refused: It cannot be imported, is not what the user allowed, or is neither class nor function.
        """
        if path not in self._found:
            self._found[path] = self._resolve(path)
        return self._found[path]

    def _resolve(self, path: str) -> object:
        target = self._targets.get(path, path) if self.named(path) else path
        with user_code():
            found = _import(path, target)
        if not isinstance(found, type | types.FunctionType):
            kind = type(found).__name__
            raise Unsafe(f"--allow {path}", f"{target} is a {kind}, neither a class nor a function")
        if not self.named(path) and not self._below(f"{found.__module__}.{found.__qualname__}"):
            home = f"{found.__module__}.{found.__qualname__}"
            raise Unsafe(path, f"it is {home} in truth, which is not allowed", f"--allow {home}")
        return found

    def named(self, path: str) -> bool:
        """Whether the user named this very object, and not only a package above it."""
        return path in self._targets

    @functools.cached_property
    def _prefixes(self) -> tuple[str, ...]:
        return tuple(f"{name}." for name, target in self._targets.items() if name == target)

    def _below(self, path: str) -> bool:
        return path.startswith(self._prefixes) and "__main__" not in path.split(".")


def _import(path: str, target: str) -> object:
    try:
        return locate(target)
    except (Exception, SystemExit) as error:
        # The module is the user's: whatever it raises is the reason why it cannot be had.
        why = f"{target} cannot be imported ({type(error).__name__}: {error})"
        raise ArchRefused(f"--allow {path}", why, _REMEDY) from None


def _check(spec: str, name: str, target: str) -> None:
    for path in (name, target):
        if not all(part.isidentifier() for part in path.split(".")):
            raise UsageError(
                f"--allow {spec}",
                "not a dotted name",
                "Write pkg.mod.Class, pkg.mod, or __main__.Net=pkg.mod:Net",
            )
    top = target.split(".")[0]
    if target == "torch":
        raise UsageError(f"--allow {spec}", "far too wide", "Name the class")
    if top == "__main__":
        raise UsageError(
            f"--allow {spec}",
            "a script's classes cannot be imported",
            f"Say where the class lives: --allow {name}=your.module:{name.rsplit('.', 1)[-1]}",
        )
    if top in sys.stdlib_module_names:
        raise UsageError(f"--allow {spec}", f"{top} is part of Python and holds no model code")
