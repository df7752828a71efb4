"""The ways in which a source is refused at load."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from bnexport.errors import Refused
from bnexport.load.limits import in_force

__all__ = [
    "ArchRefused",
    "Corrupt",
    "KeyMismatch",
    "TooLarge",
    "UnknownClasses",
    "Unsafe",
    "Unsupported",
]

_MANY = 3


class Corrupt(Refused):
    """The file is truncated, damaged or not well-formed."""


class TooLarge(Refused):
    """The file asks for more memory, records or depth than a model needs.

    Args:
        what: The file.
        why: How much it asks for.
        limit: The field of `Limits` that it passes; empty: none that can be raised.
        remedy: What else can be done.
    """

    def __init__(self, what: str, why: str, limit: str = "", remedy: str = "") -> None:
        if limit:
            option = limit.replace("_", "-")
            allowed = getattr(in_force(), limit)
            why = f"{why}; the limit {option} is {allowed:,}"
            remedy = f"If you trust the file, raise it: --file-limit {option}={allowed * 4}"
        super().__init__(what, why, remedy)
        self.limit = limit


class Unsupported(Refused):
    """The file is of a kind, or holds a thing, that bnexport does not read."""


class Unsafe(Refused):
    """The file asks for something to be run, or hides code behind data. Nothing was run."""


class ArchRefused(Refused):
    """The architecture that the user named cannot be imported or built."""


class UnknownClasses(Refused):
    """The file needs classes that are neither torch's own layers nor named by the user.

    Attributes:
        classes: Every one of them, sorted.
    """

    def __init__(self, path: str, classes: Iterable[str]) -> None:
        self.classes = tuple(sorted(classes))
        count = len(self.classes)
        noun = "a class that is" if count == 1 else f"{count} classes that are"
        listed = ", ".join(self.classes)
        why = f"{listed}; allowed classes are imported from your environment, never from the file"
        super().__init__(f"{path} needs {noun} not allowed", why, _allow_flags(self.classes))


class KeyMismatch(Refused):
    """A checkpoint's keys are not those of the architecture.

    Attributes:
        missing: The architecture's keys that the checkpoint lacks.
        unexpected: The checkpoint's keys that the architecture lacks.
        mismatched: Sentences for the keys whose shapes differ.
    """

    def __init__(
        self,
        path: str,
        missing: Sequence[str],
        unexpected: Sequence[str],
        mismatched: Sequence[str],
    ) -> None:
        self.missing, self.unexpected = tuple(missing), tuple(unexpected)
        self.mismatched = tuple(mismatched)
        parts = [
            listing(title, names)
            for title, names in (
                ("missing", missing),
                ("left over", unexpected),
                ("of another shape", mismatched),
            )
            if names
        ]
        super().__init__(
            f"{path} does not fit the architecture",
            "; ".join(parts),
            "Check --arch and --arch-args, name the part with --state-dict-key, or pass "
            "--allow-partial to load what fits",
        )


def listing(title: str, names: Sequence[str], limit: int = 10) -> str:
    """``2 missing (a, b)``, with the first ``limit`` names."""
    more = f", and {len(names) - limit} more" if len(names) > limit else ""
    return f"{len(names)} {title} ({', '.join(names[:limit])}{more})"


def _allow_flags(classes: Sequence[str]) -> str:
    exact = " ".join(f"--allow {_mapped(name)}" for name in classes)
    text = f"If you trust that code, type {exact}"
    importable = [name for name in classes if not name.startswith("__main__.")]
    packages = sorted({name.split(".")[0] for name in importable})
    if len(importable) >= _MANY and "torch" not in packages:
        short = [name for name in classes if name.startswith("__main__.")]
        flags = [*packages, *map(_mapped, short)]
        text += ", or shorter " + " ".join(f"--allow {name}" for name in flags)
    return text + "; or give the model's code with --arch and only the weights are read"


def _mapped(name: str) -> str:
    """A class of a script cannot be imported by its name: the user says where it lives."""
    if not name.startswith("__main__."):
        return name
    return f"{name}=YOUR_MODULE:{name.removeprefix('__main__.')}"
