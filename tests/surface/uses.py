"""The names of TensorRT that a source uses, and the guards that they stand behind.

A value is followed from where it comes from (the bindings' module, a parameter or a function that is
``Any``) through names, attributes, calls and loops to the attributes that are used on it. What a
call returns the bindings themselves tell; the rest is `declared`.
"""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace

from surface.annotations import Function, any_functions, exported, is_any
from surface.declared import MODULE
from surface.expressions import Expressions
from surface.guards import entry_guards, leaves
from surface.kinds import UNKNOWN, named
from surface.model import Findings, Guards, Surface
from surface.state import NO_GUARDS, Facts

__all__ = ["collect"]


def collect(sources: Mapping[str, str], surfaces: Sequence[Surface]) -> Findings:
    """Read a package.

    Args:
        sources: The text of each file, by its name.
        surfaces: Of every release: they tell what a call returns.
    """
    trees = {name: ast.parse(text) for name, text in sources.items()}
    facts = Facts(surfaces, any_functions(trees.values()))
    # Twice, for an attribute may be read in a file before the one in which it is set.
    for _ in range(2):
        facts = replace(facts, uses=set(), optional=set(), faults={}, sites=defaultdict(set))
        for file, tree in trees.items():
            _Statements(facts, file).block(tree.body)
    entry = entry_guards(facts.sites, exported(trees))
    uses = (replace(use, guards=use.guards | entry.get(at, NO_GUARDS)) for use, at in facts.uses)
    return Findings(frozenset(uses), frozenset(facts.optional), tuple(facts.faults))


class _Statements(Expressions):
    """Reads one file."""

    def block(self, body: Sequence[ast.stmt]) -> None:
        """Statements in order: a branch that leaves guards what comes after it."""
        with self.given(NO_GUARDS):
            for statement in body:
                self._statement(statement)
                if isinstance(statement, ast.If):
                    if leaves(statement.body):
                        self.guards |= self.meaning(statement.test, False)
                    if leaves(statement.orelse):
                        self.guards |= self.meaning(statement.test, True)

    def _statement(self, node: ast.stmt) -> None:
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                self._define(node)
            case ast.ClassDef():
                self._define_class(node)
            case ast.Import() | ast.ImportFrom():
                self._import(node)
            case ast.Assign(targets=targets, value=value):
                kind = self.kind(value)
                for target in targets:
                    self.assign(target, value, kind)
            case ast.AnnAssign(target=target, annotation=annotation, value=value):
                kind = self.kind(value) if value is not None else None
                self.bind(target, (kind or UNKNOWN) if is_any(annotation) else None)
            case ast.AugAssign(target=target, value=value):
                self.kind(value)
                if isinstance(target, ast.Attribute):
                    self.bind(target, None)
            case ast.If(test=test, body=body, orelse=orelse):
                self.kind(test)
                for branch, truth in ((body, True), (orelse, False)):
                    with self.given(self.meaning(test, truth)):
                        self.block(branch)
            case ast.For(target=target, iter=values) | ast.AsyncFor(target=target, iter=values):
                self.bind(target, self.kind(values))
                self._inner(node)
            case ast.Match(subject=subject, cases=cases):
                kind = self.kind(subject)
                for part in (part for case in cases for part in ast.walk(case.pattern)):
                    if isinstance(part, ast.MatchAs | ast.MatchStar) and part.name:
                        self.scopes[-1][part.name] = named(part.name, kind)
                self._inner(node)
            case _:
                self._inner(node)

    def _inner(self, node: ast.AST) -> None:
        """The expressions and blocks of a node; the targets are bound by who calls."""
        for _, value in ast.iter_fields(node):
            if isinstance(value, list) and value and isinstance(value[0], ast.stmt):
                self.block(value)
                continue
            for part in value if isinstance(value, list) else [value]:
                self._part(part)

    def _part(self, part: object) -> None:
        match part:
            case ast.expr():
                if not isinstance(getattr(part, "ctx", None), ast.Store):
                    self.kind(part)
            case ast.withitem(context_expr=value, optional_vars=target):
                kind = self.kind(value)
                if target is not None:
                    self.bind(target, kind)
            case ast.ExceptHandler(name=str(name)):
                self.scopes[-1][name] = None
                self._inner(part)
            case ast.AST():
                self._inner(part)

    def _define(self, node: Function) -> None:
        for part in (*node.args.defaults, *node.args.kw_defaults, *node.decorator_list):
            self._part(part)
        outer, self.function = self.function, self.function or node.name
        arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
        scope = {one.arg: named(one.arg, _declared(one)) for one in arguments}
        for extra in (node.args.vararg, node.args.kwarg):
            if extra is not None:
                scope[extra.arg] = None
        answers, self.answers = self.answers, dict.fromkeys(scope, NO_GUARDS)
        with self.scope(scope):
            self.block(node.body)
            meaning = self._returned(node)
        self.function, self.answers = outer, answers
        self.remember(node.name, meaning)

    def _returned(self, node: Function) -> Guards:
        """What a function says that does nothing but answer."""
        match [part.value for part in ast.walk(node) if isinstance(part, ast.Return)]:
            case [ast.expr() as value]:
                return self.meaning(value, True)
        return NO_GUARDS

    def _define_class(self, node: ast.ClassDef) -> None:
        bases = [base for base in map(self.kind, node.bases) if base is not None]
        with self.scope({}):
            for statement in node.body:
                self._statement(statement)
                match statement:
                    case ast.FunctionDef(name=name) if not name.startswith("_"):
                        for base in bases:  # what a subclass overrides the library has to call
                            self.use(base, name, statement)
                    case ast.AnnAssign(target=ast.Name(id=name), annotation=annotation):
                        if is_any(annotation):
                            self.facts.attributes[name] = named(name, UNKNOWN)

    def _import(self, node: ast.Import | ast.ImportFrom) -> None:
        for alias in node.names:
            name = alias.asname or alias.name.partition(".")[0]
            bindings = isinstance(node, ast.Import) and alias.name in ("tensorrt", "tensorrt_rtx")
            self.scopes[-1][name] = MODULE if bindings else None
            if isinstance(node, ast.Import):
                self.imports.add(name)


def _declared(argument: ast.arg) -> str | None:
    """An argument without an annotation may be anything, but for ``self``."""
    if argument.annotation is None:
        return None if argument.arg in ("self", "cls") else UNKNOWN
    return UNKNOWN if is_any(argument.annotation) else None
