"""Every name that a model's records mention, sorted into known, wanted and forbidden before any is used."""

from __future__ import annotations

import sys
from collections.abc import Iterable

from bnexport.load.allow import Allowed
from bnexport.load.errors import UnknownClasses, Unsafe
from bnexport.load.names import is_core_layer, is_known
from bnexport.load.records import Call, Global, children
from bnexport.load.tensors import is_of_tensors, is_tensor
from bnexport.load.wrappers import peel, wrapped

__all__ = ["check_names", "is_never", "mentions"]

_LEAVES = frozenset(
    {str, int, float, bool, bytes, type(None)}
)  # most of a file, and no name among them


def check_names(path: str, root: object, names: Iterable[str], allowed: Allowed) -> None:
    """Refuse a model whose records mention a name that may not become live.

    Args:
        path: The file's name, for messages.
        root: The model's record.
        names: Every name in the file, those beside the model and inside tensors among them.
        allowed: The user's list.

    Raises:
        Unsafe: A part of Python or of torch that is no layer would be called.
        UnknownClasses: Classes that the user can allow are not allowed yet; all of them are named.
    """
    if all(_may_live(name, allowed) or is_of_tensors(name) for name in names):
        return
    unknown: set[str] = set()
    for name, called in mentions(root):
        if _may_live(name, allowed):
            continue
        if is_never(name, called):
            verb = "asks to call" if called else "refers to"
            why = f"it {verb} {name}, which was not done: no model needs it"
            raise Unsafe(path, why, _REMEDY)
        unknown.add(name)
    if unknown:
        raise UnknownClasses(path, unknown)


def _may_live(name: str, allowed: Allowed) -> bool:
    return is_core_layer(name) or is_known(name) or allowed.covers(name)


def is_never(name: str, called: bool) -> bool:
    """Whether no permission could make this name part of a model: Python's own tools, torch's functions."""
    top, last = name.split(".")[0], name.rsplit(".", 1)[-1]
    if top == "__main__":
        return False
    return top in sys.stdlib_module_names or (top == "torch" and called and last[:1].islower())


_REMEDY = "Save model.state_dict() instead, and give the model's code with --arch"


def mentions(root: object, *, whole: bool = False) -> list[tuple[str, bool]]:
    """Each name once, and whether it is called; tensors and the outsides of wrappers are skipped, unless ``whole``."""
    seen: set[int] = set()
    found: dict[str, bool] = {}
    waiting = [root]
    while waiting:
        record = waiting.pop()
        if type(record) in _LEAVES:
            continue
        if isinstance(record, Global):
            found.setdefault(record.path, False)
            continue
        if id(record) in seen or (is_tensor(record) and not whole):
            continue
        seen.add(id(record))
        if isinstance(record, Call) and wrapped(record) and not whole:
            waiting.append(peel(record))
            continue
        if isinstance(record, Call):
            found[record.path] = True
        waiting.extend(children(record))
    return list(found.items())
