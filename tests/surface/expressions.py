"""Expressions: what each is, which names it uses, and what it says of the bindings as a test."""

from __future__ import annotations

import ast
from collections.abc import Sequence

from surface.declared import SPELLED
from surface.kinds import UNKNOWN, Kind, first, member_kind, named
from surface.model import Guard, Guards, Name
from surface.state import NO_GUARDS, State

__all__ = ["Expressions"]

_HANDING_ON = frozenset(
    ["enumerate", "filter", "iter", "list", "next", "reversed", "set", "sorted", "tuple", "zip"]
)
Comprehension = ast.ListComp | ast.SetComp | ast.GeneratorExp | ast.DictComp


class Expressions(State):
    """Reads expressions, in the order in which they run."""

    def kind(self, node: ast.expr) -> Kind:
        """What an expression is; every use in it is noted."""
        match node:
            case ast.Name(id=name):
                self.refer(name)
                return self.lookup(name)
            case ast.Attribute():
                return self._attribute(node)
            case ast.Call():
                return self._call(node)
            case ast.Lambda(args=arguments, body=body):
                with self.scope({one.arg: named(one.arg, UNKNOWN) for one in arguments.args}):
                    self.kind(body)
                return None
            case ast.BoolOp(op=op, values=values):
                return self._either(values, isinstance(op, ast.And))
            case ast.IfExp(test=test, body=body, orelse=orelse):
                self.kind(test)
                return first((self._under(body, test, True), self._under(orelse, test, False)))
            case ast.ListComp() | ast.SetComp() | ast.GeneratorExp() | ast.DictComp():
                return self._comprehension(node)
            case ast.NamedExpr(target=target, value=value):
                self.assign(target, value, self.kind(value))
                return self.lookup(target.id)
            case ast.Subscript(value=value, slice=index):
                self.kind(index)
                return self.kind(value)
            case ast.Tuple(elts=parts) | ast.List(elts=parts) | ast.Set(elts=parts):
                return first([self.kind(part) for part in parts])
            case ast.Starred(value=value):
                return self.kind(value)
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.expr):
                self.kind(child)
        return None

    def meaning(self, test: ast.expr, truth: bool) -> Guards:
        """What is there, or is not, when a test comes out as ``truth``."""
        match test:
            case ast.UnaryOp(op=ast.Not(), operand=operand):
                return self.meaning(operand, not truth)
            case ast.BoolOp(op=op, values=values) if isinstance(op, ast.And) == truth:
                with self.given(NO_GUARDS):
                    before = self.guards
                    for value in values:
                        self.guards |= self.meaning(value, truth)
                    return self.guards - before
            case ast.NamedExpr(value=value):
                return self.meaning(value, truth)
            case ast.Call(func=ast.Name(id="hasattr"), args=[owner, ast.Constant(value=str(name))]):
                kind = self.kind(owner)
                if kind is None or kind == UNKNOWN:
                    return NO_GUARDS
                return frozenset({Guard(Name(kind, name), truth)})
            case ast.Name(id=name):
                return self.answer(name, truth, everywhere=False)
            case (
                ast.Attribute(attr=name)
                | ast.Call(func=ast.Name(id=name) | ast.Attribute(attr=name))
            ):
                return self.answer(name, truth, everywhere=True)
        return NO_GUARDS

    def assign(self, target: ast.expr, value: ast.expr, kind: Kind) -> None:
        """Bind a target to a value of a kind."""
        match target, value:
            case ast.Tuple(elts=targets), ast.Tuple(elts=values) if len(targets) == len(values):
                for one, other in zip(targets, values, strict=True):
                    self.assign(one, other, self.kind(other))
                return
            case ((ast.Name(id=name) | ast.Attribute(attr=name)), _):
                self.remember(name, self.meaning(value, True))
                if name in SPELLED:
                    self._spelled(SPELLED[name], value)
        if not (isinstance(value, ast.Constant) and value.value is None):
            self.bind(target, kind)

    def bind(self, target: ast.expr, kind: Kind) -> None:
        """From here on a target is of a kind."""
        match target:
            case ast.Name(id=name):
                self.scopes[-1][name] = named(name, kind)
            case ast.Tuple(elts=parts) | ast.List(elts=parts):
                for part in parts:
                    self.bind(part, kind)
            case ast.Starred(value=part):
                self.bind(part, kind)
            case ast.Attribute(value=owner, attr=name):
                receiver = self.kind(owner)
                if receiver is not None:
                    self.use(receiver, name, owner)
                elif kind is not None:
                    self.facts.attributes[name] = named(name, kind)
            case ast.Subscript():
                self.kind(target)

    def _attribute(self, node: ast.Attribute) -> Kind:
        receiver = self.kind(node.value)
        if receiver is not None:
            return self.use(receiver, node.attr, node.value)
        self.refer(node.attr)
        return self.facts.attributes.get(node.attr)

    def _call(self, node: ast.Call) -> Kind:
        match node:
            case ast.Call(func=ast.Name(id="hasattr" | "getattr" | "setattr"), args=[_, _, *_]):
                return self._by_name(node)
        callee = self.kind(node.func)
        given = [self.kind(part) for part in node.args]
        for keyword in node.keywords:
            self.kind(keyword.value)
            if keyword.arg is not None:  # a field of what is made here, it may be
                self.remember_field(keyword.arg, self.meaning(keyword.value, True))
        match node.func:
            case _ if callee is not None:
                return callee
            case ast.Name(id=name) if name in _HANDING_ON:
                return first(given)
            case ast.Attribute(attr="import_module"):
                return UNKNOWN
            case ast.Name(id=name) | ast.Attribute(attr=name) if not self._imported(node.func):
                return UNKNOWN if self.facts.functions.get(name) else None
        return None

    def _by_name(self, node: ast.Call) -> Kind:
        """`hasattr`, and `getattr` with a default, ask first; without one `getattr` is a use."""
        function = ast.unparse(node.func)
        owner, member, *rest = node.args
        receiver = self.kind(owner)
        for part in (member, *rest):
            self.kind(part)
        if receiver is None:
            return None
        asks = function == "hasattr" or (function == "getattr" and bool(rest))
        if not (isinstance(member, ast.Constant) and isinstance(member.value, str)):
            if not asks:
                self.fault(node, f"{ast.unparse(node)} uses a name made at run time: write it out")
            return None if function == "hasattr" else UNKNOWN
        if receiver == UNKNOWN or not asks:
            return self.use(receiver, member.value, owner)
        name = Name(receiver, member.value)
        self.facts.optional.add(name)
        return None if function == "hasattr" else member_kind(self.facts.surfaces, name)

    def _either(self, values: Sequence[ast.expr], wanted: bool) -> Kind:
        """``and``, ``or``: each value is reached only when those before it were ``wanted``."""
        found: list[Kind] = []
        with self.given(NO_GUARDS):
            for value in values:
                found.append(self.kind(value))
                self.guards |= self.meaning(value, wanted)
        return first(found)

    def _under(self, node: ast.expr, test: ast.expr, truth: bool) -> Kind:
        with self.given(self.meaning(test, truth)):
            return self.kind(node)

    def _comprehension(self, node: Comprehension) -> Kind:
        with self.scope({}), self.given(NO_GUARDS):
            for loop in node.generators:
                self.bind(loop.target, self.kind(loop.iter))
                for test in loop.ifs:
                    self.kind(test)
                    self.guards |= self.meaning(test, True)
            if isinstance(node, ast.DictComp):
                return first([self.kind(node.key), self.kind(node.value)])
            return self.kind(node.elt)

    def _spelled(self, owner: str, value: ast.expr) -> None:
        parts = value.keys if isinstance(value, ast.Dict) else list(ast.walk(value))
        for part in parts:
            if isinstance(part, ast.Constant) and isinstance(part.value, str):
                self.facts.optional.add(Name(owner, part.value))

    def _imported(self, node: ast.expr) -> bool:
        while isinstance(node, ast.Attribute):
            node = node.value
        return isinstance(node, ast.Name) and node.id in self.imports
