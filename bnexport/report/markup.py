"""HTML made of elements: whatever text goes in comes out escaped, for names in a model are untrusted."""

from __future__ import annotations

from html import escape

from bnexport.printable import printable

__all__ = ["Markup", "join", "tag", "text"]

VOID = frozenset({"br", "meta"})


class Markup(str):
    """Text that is HTML already."""

    __slots__ = ()


def text(given: object) -> Markup:
    """``given`` escaped, unless it is HTML already; control characters become visible."""
    return given if isinstance(given, Markup) else Markup(escape(printable(given)))


def tag(name: str, /, *children: object, **attributes: object) -> Markup:
    """One element. ``class_`` is the attribute ``class``; True stands for an attribute without a value."""
    given = "".join(_attribute(key.rstrip("_"), value) for key, value in attributes.items())
    if name in VOID:
        return Markup(f"<{name}{given}>")
    return Markup(f"<{name}{given}>{join(*children)}</{name}>")


def join(*children: object) -> Markup:
    """One after another."""
    return Markup("".join(map(text, children)))


def _attribute(name: str, value: object) -> str:
    if value is False or value is None:
        return ""
    return f" {name}" if value is True else f' {name}="{text(str(value))}"'
