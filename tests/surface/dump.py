"""The surface of one release as JSON: owner -> member -> what it is or returns.

Run as a script in an interpreter of its own: ``dump.py FOLDER PACKAGE``. It imports native code
against stub libraries, where no call works and none may be made.
"""

from __future__ import annotations

import importlib
import inspect
import json
import os
import re
import sys
from types import ModuleType

MODULE = "module"  # as in `declared`, which is not on this interpreter's path
_RESULT = re.compile(r"^[^\n]*\) -> (.+)$", re.MULTILINE)
_QUALIFIER = re.compile(r"\b(?:\w+\.)*(?:tensorrt|tensorrt_rtx)\.")

Surface = dict[str, dict[str, str]]


def surface(module: ModuleType) -> Surface:
    """Every class of the bindings and their members; the module's own names under ``module``."""
    found: Surface = {MODULE: {}}
    for name in dir(module):
        value = getattr(module, name)
        found[MODULE][name] = name if inspect.isclass(value) else _result(value)
        if inspect.isclass(value):
            _add_class(found, name, value)
    return found


def _add_class(found: Surface, title: str, cls: type) -> None:
    members = found[title] = {}
    for name in dir(cls):
        value = inspect.getattr_static(cls, name)
        nested = inspect.isclass(value) and not name.startswith("__")
        members[name] = f"{title}.{name}" if nested else _member(cls, title, name, value)
        if nested and value is not cls:
            _add_class(found, f"{title}.{name}", value)


def _member(cls: type, title: str, name: str, value: object) -> str:
    if type(value) is cls or type(getattr(cls, name)) is cls:  # a member of an enumeration
        return title
    return _result(value.fget if isinstance(value, property) else value)


def _result(value: object) -> str:
    """What the first signature in the docstring returns; empty where there is none."""
    text = inspect.getdoc(value) if callable(value) else ""
    match = _RESULT.search(text or "")
    return _QUALIFIER.sub("", match.group(1)).replace("::", ".").strip() if match else ""


def main(folder: str, package: str) -> None:
    """Import the bindings and print their surface."""
    # Symbols that only a call would need are left unresolved: the stubs have none of them.
    sys.setdlopenflags(os.RTLD_LAZY)
    sys.path.insert(0, folder)
    json.dump(surface(importlib.import_module(package)), sys.stdout)


if __name__ == "__main__":
    main(*sys.argv[1:])
