"""Under which guards a function runs: those that hold at each of its calls."""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence

from surface.model import Guards

__all__ = ["Sites", "entry_guards", "leaves"]

# For the name of each function, where it is called or handed on: in which function, under what.
Sites = Mapping[str, set[tuple[str, Guards]]]


def entry_guards(sites: Sites, exported: frozenset[str]) -> dict[str, Guards]:
    """The guards that hold whenever a function starts; none for those that are exported.

    The greatest fixed point: a function has all guards until a call without one is found. The
    bindings do not change while they are used, so what once held holds in everything called.
    """
    entry: dict[str, Guards | None] = {name: None for name in sites if name not in exported}
    changed = True
    while changed:
        changed = False
        for name in entry:
            callers = [(entry.get(caller, frozenset()), local) for caller, local in sites[name]]
            reached = [local | outer for outer, local in callers if outer is not None]
            found = frozenset.intersection(*reached) if reached else None
            if found != entry[name]:
                entry[name], changed = found, True
    return {name: guards or frozenset() for name, guards in entry.items()}


def leaves(body: Sequence[ast.stmt]) -> bool:
    """Whether control never gets past the end of a block."""
    match body[-1] if body else None:
        case ast.Return() | ast.Raise() | ast.Continue() | ast.Break():
            return True
        case ast.If(body=inner, orelse=other):
            return leaves(inner) and leaves(other)
    return False
