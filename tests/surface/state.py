"""What is known while a source is read: of the package, of the file, of the line."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from surface.kinds import UNKNOWN, Kind, member_kind
from surface.model import Guard, Guards, Name, Surface, Use

__all__ = ["NO_GUARDS", "Facts", "State"]

NO_GUARDS: Guards = frozenset()
_WHERE = "tests/surface/declared.py"


@dataclass
class Facts:
    """What is known of the package.

    Attributes:
        surfaces: Of every release.
        functions: For the name of each function, whether what it returns may be TensorRT's.
        attributes: What the attributes of the package's own objects are.
        answers: For the name of an attribute or function, what it says when it is true.
        uses: Every use, and the function that it is in.
        optional: As in `Findings`.
        faults: As in `Findings`, in order.
        sites: As in `guards`.
    """

    surfaces: Sequence[Surface]
    functions: Mapping[str, bool]
    attributes: dict[str, Kind] = field(default_factory=dict)
    answers: dict[str, Guards] = field(default_factory=dict)
    uses: set[tuple[Use, str]] = field(default_factory=set)
    optional: set[Name] = field(default_factory=set)
    faults: dict[str, None] = field(default_factory=dict)
    sites: defaultdict[str, set[tuple[str, Guards]]] = field(
        default_factory=lambda: defaultdict(set)
    )


class State:
    """Where in a file the reading is, and what its names stand for there."""

    def __init__(self, facts: Facts, file: str) -> None:
        self.facts = facts
        self.file = file
        self.function = ""  # the outermost: what is nested runs under the same guards, or more
        self.scopes: list[dict[str, Kind]] = [{}]
        self.imports: set[str] = set()
        self.answers: dict[str, Guards] = {}
        self.guards = NO_GUARDS

    @contextmanager
    def given(self, guards: Guards) -> Iterator[None]:
        """For a while these guards hold too; those that are found meanwhile end with it."""
        before = self.guards
        self.guards = before | guards
        yield
        self.guards = before

    @contextmanager
    def scope(self, names: dict[str, Kind]) -> Iterator[None]:
        """For a while these names are known."""
        self.scopes.append(names)
        yield
        self.scopes.pop()

    def lookup(self, name: str) -> Kind:
        """What a name stands for."""
        return next((scope[name] for scope in reversed(self.scopes) if name in scope), None)

    def refer(self, name: str) -> None:
        """Note that a function may be called from here."""
        if name in self.facts.functions:
            self.facts.sites[name].add((self.function, self.guards))

    def use(self, receiver: str, member: str, node: ast.AST) -> Kind:
        """Note a use of a member; the answer is what it is or returns."""
        if receiver != UNKNOWN:
            name = Name(receiver, member)
            self.facts.uses.add((Use(name, self.guards, self.place(node)), self.function))
            return member_kind(self.facts.surfaces, name)
        remedy = f"give it a variable whose name is in CLASSES in {_WHERE}"
        match node:
            case ast.Name(id=title) | ast.Attribute(attr=title):
                title = title.lstrip("_")
                remedy = f"add {title!r} to CLASSES in {_WHERE}, or to PLAIN if not TensorRT's"
        self.fault(node, f"the class of {ast.unparse(node)} in .{member} is not known: {remedy}")
        return UNKNOWN

    def fault(self, node: ast.AST, text: str) -> None:
        """Note what cannot be checked."""
        self.facts.faults[f"{self.place(node)}: {text}"] = None

    def place(self, node: ast.AST) -> str:
        """``builder.py:81``."""
        return f"{self.file}:{getattr(node, 'lineno', 0)}"

    def remember(self, name: str, meaning: Guards) -> None:
        """A name holds an answer of ``hasattr``; so may a field: `rtx` in ``Flavour(name, rtx)``."""
        self.answers[name] = meaning
        self.remember_field(name, meaning)

    def remember_field(self, name: str, meaning: Guards) -> None:
        """A field, or a function, says only what it says wherever one of its name is made."""
        self.facts.answers[name] = self.facts.answers.get(name, meaning) & meaning

    def answer(self, name: str, truth: bool, *, everywhere: bool) -> Guards:
        """What a name says by being true, or not; of several in one, a no does not say which."""
        held = (self.facts.answers if everywhere else self.answers).get(name, NO_GUARDS)
        if truth:
            return held
        return (
            frozenset(Guard(g.name, not g.present) for g in held) if len(held) == 1 else NO_GUARDS
        )
